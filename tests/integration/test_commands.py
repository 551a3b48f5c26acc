"""`ledgerlift-server` as an operator runs it: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import ledgerlift_server
import psutil
import pytest
from ledgerlift_server import core
from ledgerlift_server.adapters.sql.revisions import own_schemas
from ledgerlift_server.core import CannotStart
from ledgerlift_server.settings import Settings

from tests.support.server import StartServer, in_process_server
from tests.support.tools import missing

NEWEST = own_schemas().newest
MIGRATED = f"the database is at schema {NEWEST}; servers made for 0001 or newer may run on it"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with nothing else in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "ledgerlift_server", *arguments],
        env={"PATH": os.environ.get("PATH", ""), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version() -> None:
    """The version, and nothing else."""
    for asked in ("version", "--version"):
        done = run(asked)
        assert (done.returncode, done.stdout.strip()) == (0, ledgerlift_server.__version__)


def test_without_its_packages_it_says_which_and_how_to_get_them(tmp_path: Path) -> None:
    """The bare install is the client's, and brings this command as well: one sentence, no traceback."""
    (tmp_path / "pydantic.py").write_text("raise ModuleNotFoundError('no', name='pydantic')\n")
    done = run("serve", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "`pydantic`" in done.stderr
    assert "pip install 'ledgerlift[server]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_wrong_usage_is_exit_code_2() -> None:
    """A command that is not there is told so, with those that are; a number that is none, likewise."""
    done = run("frobnicate")
    assert done.returncode == 2
    assert "serve" in done.stderr
    done = run("doctor", "--timeout", "0")
    assert done.returncode == 2
    assert "--timeout" in done.stderr


def test_check_config_shows_what_counts() -> None:
    """Every setting by its variable's name, as the variable would hold it; secrets as stars."""
    url = "postgresql://u:hunter2@db/ledger"
    done = run("check-config", DATABASE_URL=url, ALLOWED_CONTENT_TYPES="image/*,text/plain")
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert (done.returncode, done.stderr) == (0, "")
    assert set(shown) == {name.upper() for name in Settings.model_fields}
    assert (shown["DATABASE_URL"], shown["AWS_ACCESS_KEY_ID"]) == ("**********", "")
    assert (shown["ALLOWED_CONTENT_TYPES"], shown["ENABLE_CHANNELZ"]) == ("image/*,text/plain", "false")
    unmasked = {name: value for name, value in shown.items() if "*****" not in value}
    assert run("check-config", **unmasked).returncode == 0


@pytest.mark.parametrize("command", [("serve",), ("check-config",), ("migrate",), ("janitor", "--once"), ("doctor",)])
def test_wrong_settings_are_exit_code_2(command: tuple[str, ...]) -> None:
    """Every command that reads settings names all that is wrong, without a traceback, and does nothing."""
    done = run(*command, DB_POOL_SIZE="x", LOG_LEVEL="loud")
    assert done.returncode == 2
    assert "DB_POOL_SIZE" in done.stderr
    assert "LOG_LEVEL" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_and_one_pass_of_the_janitor(tmp_path: Path) -> None:
    """Both work on the embedded default, may be repeated, and say what they did; the janitor on a line of JSON."""
    for _ in range(2):
        migrated = run("migrate", DATA_DIR=str(tmp_path))
        assert (migrated.returncode, migrated.stdout) == (0, f"{MIGRATED}\n")
        done = run("janitor", "--once", DATA_DIR=str(tmp_path))
        assert done.returncode == 0
        assert json.loads(done.stdout)["drift"]["complete"] is True


async def test_a_janitor_that_may_not_says_who_does(tmp_path: Path) -> None:
    """Another one is at it: which process of which machine, and until when at least."""
    settings = Settings(data_dir=tmp_path)
    async with core.built(settings) as other:
        await core.start(other, settings)
        assert await other.janitor.run_once() is not None
        done = await asyncio.to_thread(run, "janitor", "--once", DATA_DIR=str(tmp_path))
        await other.janitor.close()
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said["lease"] == "held by another replica"
    assert said["holder"].startswith(f"{socket.gethostname()}:{os.getpid()}:")
    assert datetime.fromisoformat(said["until"]).tzinfo is not None


def test_a_folder_that_cannot_be_made_is_exit_code_1(tmp_path: Path) -> None:
    """Something outside is wrong: a sentence that names the setting."""
    (tmp_path / "file").touch()
    done = run("serve", DATA_DIR=str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert "DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_exit_code_1(tmp_path: Path) -> None:
    """Likewise, with the reason in the system's words: here it is a file, elsewhere a disk that is read-only."""
    (tmp_path / "objects").touch()
    done = run("serve", DATA_DIR=str(tmp_path), GRPC_ADDRESS="127.0.0.1:0")
    assert done.returncode == 1
    assert f"DATA_DIR {tmp_path} cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_never_answers_is_exit_code_1(tmp_path: Path) -> None:
    """After STARTUP_TIMEOUT the server says what it waited for, without the password."""
    url = "postgresql://nobody:hunter2@127.0.0.1:1/nothing"
    done = run("serve", DATABASE_URL=url, DATA_DIR=str(tmp_path), STARTUP_TIMEOUT="0.1", GRPC_ADDRESS="127.0.0.1:0")
    assert done.returncode == 1
    assert "the database could not be used" in done.stderr
    assert "hunter2" not in done.stderr


async def test_a_port_is_never_shared(tmp_path: Path) -> None:
    """A second server on the same port fails, instead of silently taking half of the calls (SO_REUSEPORT)."""
    async with in_process_server(tmp_path) as first:
        done = await asyncio.to_thread(run, "serve", GRPC_ADDRESS=first.address, DATA_DIR=str(tmp_path))
        with pytest.raises(CannotStart, match="cannot listen"):
            async with in_process_server(tmp_path, grpc_address=first.address):
                pass
    assert done.returncode == 1
    assert f"cannot listen on {first.address}" in done.stderr


async def test_sigterm_is_an_orderly_end(start_server: StartServer) -> None:
    """Drained and stopped, with exit code 0; the same port serves again at once."""
    server = await start_server()
    address = server.address
    assert await server.stop() == 0
    assert [entry["event"] for entry in server.log("draining") + server.log("stopped")] == ["draining", "stopped"]
    await server.restart()
    assert server.address == address


@contextmanager
def inherited(handler: signal.Handlers) -> Iterator[None]:
    """What becomes of SIGHUP in processes that are started meanwhile, whatever it is in this one."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_terminal_that_closes_is_an_orderly_end(start_server: StartServer) -> None:
    """So is SIGHUP from one who hoped that settings would be read again: drained, and not ended on the spot."""
    with inherited(signal.SIG_DFL):
        server = await start_server()
    server.send(signal.SIGHUP)
    assert await server.wait() == 0
    assert [entry["event"] for entry in server.log("draining") + server.log("stopped")] == ["draining", "stopped"]


async def test_a_terminal_that_closes_is_ignored_under_nohup(start_server: StartServer) -> None:
    """That is what it is for; SIGTERM is then the first signal, and ends it in order."""
    with inherited(signal.SIG_IGN):
        server = await start_server()
    server.send(signal.SIGHUP)
    assert await server.stop() == 0


@pytest.mark.parametrize(
    ("command", "environment", "sign"),
    [
        # While it imports: a package that all else needs tells that it is asked for, and takes its time.
        ("serve", {}, "importing"),
        ("migrate", {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}, "waiting_for_database"),
    ],
)
def test_process_1_of_a_container_is_ended_by_sigterm(
    tmp_path: Path, command: str, environment: dict[str, str], sign: str
) -> None:
    """The kernel keeps from it what it does not handle; it would live until the end of the grace period."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        missing("a root user with unshare")
    if command == "serve":
        (tmp_path / "pydantic.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
        environment = {**environment, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "ledgerlift_server", command],
        env={"PATH": os.environ.get("PATH", ""), "STARTUP_TIMEOUT": "600", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as started:
        try:
            assert started.stdout is not None
            assert any(sign in line for line in started.stdout)
            (first,) = psutil.Process(started.pid).children()
            first.terminate()
            assert started.wait(60) == 128 + signal.SIGTERM
        finally:
            started.kill()


async def test_a_second_signal_ends_it_at_once(start_server: StartServer) -> None:
    """Who does not want to wait for the drain need not."""
    server = await start_server(SHUTDOWN_DELAY="600")
    server.send(signal.SIGINT)
    await server.until_logged("draining")
    server.send(signal.SIGTERM)
    assert await server.wait() == 128 + signal.SIGTERM


async def test_a_signal_while_starting_ends_the_start(start_server: StartServer) -> None:
    """A server that waits for its database can be told to stop waiting."""
    server = await start_server(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", until="listening")
    await server.until_logged("waiting_for_database")
    assert await server.stop() == 0
    assert server.log("serving") == []
