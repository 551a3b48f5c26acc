"""`ledgerlift upload` of folders and of several files, against a whole server."""

from __future__ import annotations

import json
import os
import shlex
import signal

import pytest
from ledgerlift_client import LedgerLiftClient

from tests.support.command_line import PART, Cli


@pytest.fixture
def name() -> str:
    """A folder's name that no other test has used as a key."""
    return os.urandom(4).hex()


def keys(cli: Cli, prefix: str) -> dict[str, str]:
    """Key and digest of the documents whose keys begin like this."""
    return {one["key"]: one["sha256"] for one in cli.objects("ls", "--key-prefix", prefix)}


def test_a_folder_is_stored_under_the_paths_in_it(cli: Cli, name: str) -> None:
    """Keys are paths from the folder's own name on, names are the files' own; each file is printed with its path."""
    for path in ("a.txt", "2026/b.txt", "2026/deep/c.txt", ".hidden"):
        cli.file(f"in/{name}/{path}")
    printed = dict(line.split("\t")[::-1] for line in cli.lines("upload", "-r", f"in/{name}"))
    paths = {f"{name}/{path}" for path in ("a.txt", "2026/b.txt", "2026/deep/c.txt", ".hidden")}
    assert set(printed) == {f"in/{path}" for path in paths}
    assert set(keys(cli, f"{name}/")) == paths
    (deep,) = cli.objects("show", printed[f"in/{name}/2026/deep/c.txt"])
    assert (deep["filename"], deep["key"]) == ("c.txt", f"{name}/2026/deep/c.txt")


def test_a_folder_that_is_stored_again_adds_nothing(cli: Cli, name: str) -> None:
    """The same ids; and other bytes under a key that is taken are refused, with the rest stored."""
    cli.file(f"{name}/a.txt")
    cli.file(f"{name}/b.txt")
    first = sorted(cli.lines("upload", "-r", name))
    again = cli("upload", "-r", name)
    assert (again.returncode, sorted(again.stdout.decode().splitlines())) == (0, first)
    assert b"2 files: 2 there already" in again.stderr
    cli.file(f"{name}/a.txt")
    cli.file(f"{name}/c.txt")
    changed = cli("upload", "-r", name)
    assert changed.returncode == 4
    assert b"KEY_TAKEN" in changed.stderr
    assert b"3 files: 1 stored, 1 there already, 1 failed" in changed.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-r", "."], ["sub/a.txt"]),
        (["-r", "./sub/"], ["sub/a.txt"]),
        (["-r", "sub", "--key-prefix", "p-"], ["p-sub/a.txt"]),
        (["sub/a.txt", "--key-prefix", "q/"], ["q/a.txt"]),
        (["-r", "sub", "--no-keys"], [""]),
        (["sub/a.txt"], [""]),
    ],
)
def test_how_keys_are_made(cli: Cli, arguments: list[str], expected: list[str]) -> None:
    """The folder's own name, unless it is `.`; a prefix as it is given; none where none is wanted."""
    cli.file("sub/a.txt")
    # A policy that makes a new document of known bytes: keys of this test are those of other cases, too.
    uploaded = cli.objects("upload", *arguments)
    assert [one["document"]["key"] for one in uploaded] == expected
    for one in uploaded:
        cli.lines("rm", one["document"]["document_id"])


def test_what_is_no_file_is_told(cli: Cli, name: str) -> None:
    """Links to files are files; other things are left out with a word, and a broken link is a failure."""
    cli.file("elsewhere/linked.txt")
    cli.file("elsewhere/other.txt")
    cli.file(f"{name}/a.txt")
    folder = cli.folder / name
    (folder / "link.txt").symlink_to(cli.folder / "elsewhere/linked.txt")
    (folder / "folder").symlink_to(cli.folder / "elsewhere")
    (folder / "broken").symlink_to(cli.folder / "nothing")
    os.mkfifo(folder / "pipe")
    (cli.folder / os.fsdecode(os.fsencode(f"{name}/") + b"\xff.txt")).write_bytes(b"x")
    done = cli("upload", "-r", name)
    said = done.stderr.decode()
    assert done.returncode == 9
    assert f"{name}/folder: left out, a link to a folder" in said
    assert f"{name}/pipe: left out, neither a file nor a folder" in said
    assert f"{name}/broken: is a link to what is not there" in said
    assert f"{name}/\ufffd.txt: its name is not UTF-8" in said
    assert set(keys(cli, f"{name}/")) == {f"{name}/a.txt", f"{name}/link.txt"}


def test_a_folder_needs_to_be_asked_for(cli: Cli, name: str) -> None:
    """Without --recursive it is a failure that says so; an empty one is told of."""
    (cli.folder / name).mkdir()
    refused = cli("upload", name)
    assert (refused.returncode, refused.stderr) == (9, f"ledgerlift: {name}: Is a directory\n".encode())
    empty = cli("upload", "-r", name)
    assert (empty.returncode, empty.stdout, empty.stderr) == (
        0,
        b"",
        f"ledgerlift: {name}: no files in it\n".encode(),
    )


def test_the_same_request_id_stores_each_file_once(cli: Cli, name: str) -> None:
    """Of several files each has an id of its own that follows from it: the same command, the same documents."""
    cli.file(f"{name}/a.txt", b"same")
    cli.file(f"{name}/b.txt", b"same")
    words = ["upload", "-r", name, "--request-id", name, "--duplicate-policy", "create-new"]
    first, second = cli.objects(*words), cli.objects(*words)
    assert len({one["request_id"] for one in first}) == 2
    assert len({one["document"]["document_id"] for one in first}) == 2
    assert {one["source"]: one["document"] for one in first} == {one["source"]: one["document"] for one in second}


def test_what_a_duplicate_does_not_take_is_named(cli: Cli, name: str) -> None:
    """Two files of a folder with the same bytes are one document, with the first one's key; JSON says so too."""
    cli.file(f"{name}/a.txt", name.encode())
    cli.file(f"{name}/b.txt", name.encode())
    first, second = cli.objects("upload", "-r", name, "-j", "1")
    assert (first["duplicate"], first["not_taken"]) == (False, [])
    assert (second["duplicate"], second["not_taken"]) == (True, ["key"])
    assert b"not taken: --key" in cli("upload", "-r", name, "-j", "1").stderr


def test_known_bytes_are_not_sent_where_that_is_asked_first(cli: Cli, name: str) -> None:
    """--check-first: the server receives nothing of them."""
    cli.file(f"{name}.bin", os.urandom(9 * PART))
    (stored,) = cli.objects("upload", f"{name}.bin")
    (again,) = cli.objects("upload", f"{name}.bin", "--check-first")
    assert again["document"] == stored["document"]
    assert (again["duplicate"], again["receipt"]["bytes_received"]) == (True, 0)


def test_an_interrupted_folder_goes_on_with_the_command_that_it_prints(cli: Cli, name: str) -> None:
    """SIGINT in the middle of several large files: one line for all of them, and in the end each is there once."""
    contents = {path: cli.file(f"{name}/{path}", os.urandom(160 * PART)) for path in ("a.bin", "b.bin", "c.bin")}
    upload = cli.start("upload", "-r", name, "-j", "3", "-m", "a=b c")
    durable = cli.until_durable(8 * PART)
    upload.send_signal(signal.SIGINT)
    _, err = upload.communicate(timeout=60)
    assert upload.returncode == 130, err.decode()
    said, hint = err.decode().splitlines()[-2:]
    assert said.startswith("ledgerlift: 3 files: ")
    assert said.endswith(": interrupted")
    command = shlex.split(hint.removeprefix("To go on where this ended: "))
    assert command[:5] == ["ledgerlift", "--target", cli.environment["LEDGERLIFT_TARGET"], "upload", name]
    done = cli.objects(*command[1:])
    assert {one["source"] for one in done} == {f"{name}/{path}" for path in contents}
    assert all(one["document"]["metadata"] == {"a": "b c"} for one in done)
    with LedgerLiftClient(cli.environment["LEDGERLIFT_TARGET"]) as client:
        resumed = client.get_upload(durable)
        assert [one["upload_id"] for one in done].count(durable) == 1, resumed
    assert len(keys(cli, f"{name}/")) == 3


def test_json_failures_of_several_say_how_to_go_on(cli: Cli) -> None:
    """Each failure that may pass has the command in its object; nothing else is on stderr."""
    cli.file("a.txt")
    cli.file("b.txt")
    cli.environment |= {"LEDGERLIFT_MAX_ATTEMPTS": "2", "LEDGERLIFT_BACKOFF_BASE": "0.01"}
    done = cli("--target", "127.0.0.1:1", "upload", "a.txt", "b.txt", "no.txt", "--json")
    told = {one["about"]: one for one in (json.loads(line)["error"] for line in done.stderr.splitlines())}
    assert done.returncode == 7
    assert {path: one["exit_code"] for path, one in told.items()} == {"a.txt": 7, "b.txt": 7, "no.txt": 9}
    assert "upload a.txt b.txt no.txt --request-id" in told["a.txt"]["hint"]
    assert "hint" not in told["no.txt"]


def test_a_server_that_is_away_is_told_once(cli: Cli, name: str) -> None:
    """Fifty files that nobody takes are fifty failures; people read of those calls that were really made."""
    for number in range(50):
        cli.file(f"{name}/{number}.txt")
    cli.environment |= {"LEDGERLIFT_BREAKER_GRACE": "0.01", "LEDGERLIFT_BACKOFF_BASE": "0.01"}
    done = cli("--target", "127.0.0.1:1", "upload", "-r", name)
    lines = [line for line in done.stderr.decode().splitlines() if "trying again" not in line]
    assert done.returncode == 7
    assert sum("CLIENT_CIRCUIT_OPEN" in line for line in lines) == 1
    assert sum("Is the server running?" in line for line in lines) == 1
    assert lines[-2] == "ledgerlift: 50 files: 50 failed"
    assert len(lines) < 20
