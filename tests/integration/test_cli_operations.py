"""`health`, `breakers`, `limits` and `completion`: what operators and shells ask of the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ledgerlift_client import LedgerLiftClient

from tests.support.command_line import PART, SERVER, Cli
from tests.support.server_thread import server_in_thread


def test_health_is_told_with_its_components(cli: Cli) -> None:
    """Each on a line; all of it as one object."""
    lines = dict(line.split("  ", 1) for line in cli.lines("health"))
    assert lines["status"].strip() in ("HEALTHY", "DEGRADED")  # the machine of the tests may be busy
    assert lines["database"].strip().startswith("HEALTHY, answered in ")
    (report,) = cli.objects("health")
    assert (report["database"]["status"], report["storage"]["status"]) == ("HEALTHY", "HEALTHY")
    assert [one["name"] for one in report["breakers"]] == ["database", "storage"]


def test_an_unhealthy_service_has_an_exit_code(tmp_path: Path) -> None:
    """11, with the report: its folder of files is gone."""
    changes = SERVER | {"health_cache_ttl": 0.2}
    with server_in_thread(tmp_path / "server", **changes) as server:
        cli = Cli(server.address, tmp_path)
        for folder in (tmp_path / "server" / "data").iterdir():
            if folder.is_dir():
                shutil.rmtree(folder)
                folder.write_bytes(b"in the way")
        with LedgerLiftClient(server.address) as client:
            _until_unhealthy(client)
        done = cli("health", "--json")
        assert (done.returncode, json.loads(done.stdout)["status"]) == (11, "UNHEALTHY")


def _until_unhealthy(client: LedgerLiftClient) -> None:
    from threading import Event

    waiting = Event()
    for _ in range(600):
        if client.health().status == "UNHEALTHY":
            return
        waiting.wait(0.05)
    raise AssertionError(client.health())


def test_breakers_are_listed_and_reset(cli: Cli) -> None:
    """`breakers` alone lists; a name that there is not is refused, and the others are reset all the same."""
    listed = [line.split("\t")[:2] for line in cli.lines("breakers")]
    assert listed == [["database", "CLOSED"], ["storage", "CLOSED"]]
    assert [one["name"] for one in cli.objects("breakers", "list")] == ["database", "storage"]
    done = cli("breakers", "reset", "nonsense", "storage", "--json")
    assert done.returncode == 5
    assert json.loads(done.stdout)["name"] == "storage"
    error = json.loads(done.stderr)["error"]
    assert (error["about"], bool(error["request_id"])) == ("nonsense", True)


def test_limits_are_the_servers(cli: Cli) -> None:
    """As numbers for programs, in binary units for people."""
    (limits,) = cli.objects("limits")
    assert (limits["part_size"], limits["max_document_size"]) == (PART, 1000 * PART)
    assert "part        64.0 KiB" in cli.lines("limits")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(cli: Cli, shell: str) -> None:
    """It is click's own, for this command's name; as JSON too."""
    (told,) = cli.objects("completion", shell)
    assert "_LEDGERLIFT_COMPLETE" in told["script"]
    assert told["script"].split() == " ".join(cli.lines("completion", shell)).split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["ledgerlift", "up"], ["upload", "uploads"]),
        (["ledgerlift", "uploads", "re"], ["resume"]),
        (["ledgerlift", "upload", "--rec"], ["--recursive"]),
        (["ledgerlift", "ls", "--status", "PROC"], ["processing"]),
        (["ledgerlift", "completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes_commands_options_and_choices(cli: Cli, typed: list[str], offered: list[str]) -> None:
    """In a bash that was given the script, as the page says, at the end of what is typed."""
    words = " ".join(f"'{word}'" for word in typed)
    program = f"""
        eval "$(ledgerlift completion bash)"
        COMP_WORDS=({words})
        COMP_CWORD={len(typed) - 1}
        _ledgerlift_completion ledgerlift
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", program], env=cli.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == offered, done.stderr


def test_a_question_that_nobody_understands_is_a_failure(cli: Cli) -> None:
    """A script of another program's version: the shell is told, and nothing is done."""
    cli.environment["_LEDGERLIFT_COMPLETE"] = "bash_nonsense"
    done = cli("breakers", "reset", "storage")
    assert (done.returncode, done.stdout) == (1, b"")
