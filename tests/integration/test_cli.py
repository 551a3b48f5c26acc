"""The `ledgerlift` command as a person and as a script run it, against a whole server."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess

import pytest

from tests.support.command_line import PART, Cli
from tests.support.cut_wire import CutWire
from tests.support.slow_wire import SlowWire


def test_what_is_uploaded_can_be_seen_fetched_and_removed(cli: Cli) -> None:
    """upload prints ids, show tells everything, download gives the bytes, rm removes."""
    data = cli.file("report.txt")
    key = os.urandom(4).hex()
    (document_id,) = cli.lines("upload", "report.txt", "--key", key, "-m", "a=b=c", "--metadata", "d=")
    shown = dict(line.split(maxsplit=1) for line in cli.lines("show", document_id))
    assert shown["id"] == document_id
    assert (shown["name"], shown["type"], shown["key"]) == ("report.txt", "text/plain", key)
    assert (shown["metadata.a"], shown["sha256"]) == ("b=c", hashlib.sha256(data).hexdigest())
    (cli.folder / "report.txt").unlink()
    assert cli.lines("download", document_id) == ["report.txt"]
    assert (cli.folder / "report.txt").read_bytes() == data
    assert cli("download", document_id, "-o", "-").stdout == data
    assert cli("download", document_id, "-o", "-", "--offset", "3", "--length", "5").stdout == data[3:8]
    assert cli.lines("rm", document_id) == [document_id]
    gone = cli("show", document_id)
    assert gone.returncode == 3
    assert b"DOCUMENT_NOT_FOUND" in gone.stderr
    assert b"request id" in gone.stderr


def test_several_files_are_all_tried(cli: Cli) -> None:
    """One that is missing does not keep the others out, and sets the exit code."""
    cli.file("a.txt")
    cli.file("c.txt")
    done = cli("upload", "a.txt", "no.txt", "c.txt")
    assert done.returncode == 9
    assert sorted(line.split(b"\t")[1] for line in done.stdout.splitlines()) == [b"a.txt", b"c.txt"]
    failed, sums = done.stderr.decode().splitlines()
    assert failed == "ledgerlift: no.txt: No such file or directory"
    assert sums == "ledgerlift: 3 files: 2 stored, 1 failed"


def test_what_cannot_be_opened_has_nothing_to_go_on_with(cli: Cli) -> None:
    """A folder is named, as a missing file is, without a command that would fail in the same way."""
    done = cli("upload", ".")
    assert (done.returncode, done.stderr) == (9, b"ledgerlift: .: Is a directory\n")


def test_stdin_is_a_document_too(cli: Cli) -> None:
    """Of any size, through a pipe that cannot seek."""
    for data in (b"", b"short", os.urandom(11 * PART + 3)):
        (uploaded,) = [json.loads(line) for line in cli.lines("upload", "-", "--filename", "a", "--json", stdin=data)]
        assert uploaded["document"]["size"] == len(data)
        assert uploaded["document"]["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_list_is_lines_for_a_script(cli: Cli) -> None:
    """Tab-separated, newest first, filtered, and no more than the limit; the rest is mentioned."""
    prefix = os.urandom(4).hex()
    ids = []
    for n in range(3):
        cli.file(f"{n}.csv", f"{prefix};{n}\n".encode())
        ids += cli.lines("upload", f"{n}.csv", "--key", f"{prefix}/{n}")
    rows = [line.split("\t") for line in cli.lines("ls", "--key-prefix", prefix)]
    assert [row[0] for row in rows] == ids[::-1]
    assert rows[0][1:4] == ["11", "text/csv", "UPLOADED"]
    assert rows[0][5:] == [f"{prefix}/2", "2.csv"]
    limited = cli("ls", "--key-prefix", prefix, "--limit", "2")
    assert len(limited.stdout.splitlines()) == 2
    assert b"more than 2" in limited.stderr
    assert [d["key"] for d in cli.objects("ls", "--key-prefix", prefix)] == [f"{prefix}/{n}" for n in (2, 1, 0)]
    assert cli.lines("ls", "--key-prefix", prefix, "--status", "failed") == []
    assert cli.lines("ls", "--key-prefix", prefix, "--until", "2020-01-01") == []
    assert len(cli.lines("ls", "--key-prefix", prefix, "--since", "2020-01-01T00:00:00Z")) == 3


def test_every_command_speaks_json(cli: Cli) -> None:
    """One object a line on stdout; failures as one object a line on stderr."""
    cli.file("a.txt")
    (uploaded,) = cli.objects("upload", "a.txt")
    document = uploaded["document"]
    assert (uploaded["source"], uploaded["duplicate"], uploaded["attempts"]) == ("a.txt", False, 1)
    assert cli.objects("show", document["document_id"]) == [document]
    (fetched,) = cli.objects("download", document["document_id"], "-o", "b.txt")
    assert fetched == document | {"path": "b.txt"}
    (created,) = cli.objects("events", document["document_id"])
    assert (created["type"], created["document_id"]) == ("document.created", document["document_id"])
    assert cli.objects("rm", document["document_id"]) == [{"document_id": document["document_id"], "deleted": True}]
    failed = cli("show", document["document_id"], "--json")
    assert (failed.returncode, failed.stdout) == (3, b"")
    error = json.loads(failed.stderr)["error"]
    assert (error["reason"], error["exit_code"], error["code"]) == ("DOCUMENT_NOT_FOUND", 3, "NOT_FOUND")
    assert error["request_id"]


def test_exit_codes_of_refusals(cli: Cli) -> None:
    """Conflict, refused and corrupt are told apart."""
    data = cli.file("a.txt")
    cli.lines("upload", "a.txt")
    again = cli("upload", "a.txt")
    assert again.returncode == 0
    assert again.stderr == b"ledgerlift: a.txt: these bytes were there already\n"
    renamed = cli(
        "upload", "a.txt", "--key", os.urandom(4).hex(), "--metadata", "a=b", "--content-type", "text/plain"
    )
    assert renamed.stderr.endswith(b": these bytes were there already; not taken: --key, --metadata\n")
    assert cli("upload", "a.txt", "--duplicate-policy", "reject").returncode == 4
    assert cli("upload", "a.txt", "--content-type", "nonsense").returncode == 5
    cli.file("b.txt", data + b"!")
    assert cli("upload", "b.txt", "--sha256", "ab" * 32).returncode == 6
    assert cli("show", "nonsense").returncode == 5


def test_a_server_that_is_not_there(cli: Cli) -> None:
    """It says that it tries again, then what to do, and ends with the code for that."""
    cli.file("a.txt")
    cli.environment |= {"LEDGERLIFT_MAX_ATTEMPTS": "2", "LEDGERLIFT_BACKOFF_BASE": "0.01"}
    done = cli("--target", "127.0.0.1:1", "upload", "a.txt", "-m", "note=two words")
    said = done.stderr.decode().splitlines()
    assert done.returncode == 7
    assert "trying again in" in said[0]
    assert "after 2 attempts" in said[1]
    assert said[2].startswith("To go on where this ended: ledgerlift --target 127.0.0.1:1 upload a.txt --request-id ")
    assert said[2].endswith("--metadata 'note=two words'")
    assert said[3].startswith("Is the server running?")
    quiet = cli("--quiet", "--target", "127.0.0.1:1", "show", "x")
    assert len(quiet.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_upload_goes_on_with_the_command_that_it_prints(cli: Cli, number: int) -> None:
    """Ctrl-C (and a container's stop) leave what is durable; only the rest is sent by the printed command."""
    data = os.urandom(11 * PART + 3)
    cli.file("a.bin", data)
    upload = cli.start("upload", "-", "--filename", "a.bin", "-m", "a=b c")
    assert upload.stdin is not None
    upload.stdin.write(data[: 9 * PART])
    upload.stdin.flush()
    cli.until_durable(8 * PART)
    upload.send_signal(number)
    out, err = upload.communicate(timeout=30)
    assert (upload.returncode, out) == (130, b"")
    said, hint = err.decode().splitlines()
    assert said == "ledgerlift: -: interrupted"
    command = shlex.split(hint.removeprefix("To go on where this ended: "))
    assert command[0] == "ledgerlift"
    with SlowWire(cli.environment["LEDGERLIFT_TARGET"]) as wire:
        command[command.index("--target") + 1] = wire.address
        (result,) = cli.objects(*command[1:], stdin=data)
    assert result["document"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert wire.sent < len(data) - 7 * PART  # 8 were durable, less what the protocol itself takes


def test_a_connection_that_is_cut_is_only_a_note(cli: Cli) -> None:
    """The upload goes on by itself, and its id is all that stdout has."""
    data = cli.file("a.bin", os.urandom(20 * PART))
    with CutWire(cli.environment["LEDGERLIFT_TARGET"], cut_after=6 * PART) as wire:
        done = cli("--target", wire.address, "upload", "a.bin", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["document"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert json.loads(done.stdout)["attempts"] > 1


def test_a_file_that_is_there_is_not_replaced_unasked(cli: Cli) -> None:
    """Neither by the document's own name nor by a given one; `--force` does."""
    data = cli.file("a.txt")
    (document_id,) = cli.lines("upload", "a.txt")
    cli.file("a.txt", b"mine")
    for more in ([], ["-o", "a.txt"], ["-o", "."]):
        refused = cli("download", document_id, *more)
        assert refused.returncode == 9
        assert b"--force" in refused.stderr
    assert (cli.folder / "a.txt").read_bytes() == b"mine"
    cli.lines("download", document_id, "--force")
    assert (cli.folder / "a.txt").read_bytes() == data


def test_following_events_shows_what_happens_next(cli: Cli) -> None:
    """What was, then what comes, until Ctrl-C."""
    cli.file("a.txt")
    (document_id,) = cli.lines("upload", "a.txt")
    follow = cli.start("events", document_id, "--follow", "--json")
    assert follow.stdout is not None
    assert json.loads(follow.stdout.readline())["type"] == "document.created"
    cli.lines("rm", document_id)
    assert json.loads(follow.stdout.readline())["type"] == "document.deleted"
    follow.send_signal(signal.SIGINT)
    out, _ = follow.communicate(timeout=30)
    assert (follow.returncode, out) == (130, b"")


def test_a_reader_that_leaves_is_no_failure(cli: Cli) -> None:
    """`ledgerlift events | head -1` ends in silence."""
    cli.file("a.txt")
    for n in range(3):
        cli.lines("upload", "a.txt", "--duplicate-policy", "create-new", "-m", f"n={n}")
    done = subprocess.run(
        ["sh", "-c", "(ledgerlift events; echo $? >&2) | head -c 10"],
        env=cli.environment,
        cwd=cli.folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert len(done.stdout) == 10
    assert done.stderr == b"0\n"
