"""`uploads`, `status`, `stats` and `events --follow` as a script runs them, against a whole server."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal

from tests.support.command_line import PART, Cli
from tests.support.slow_wire import SlowWire


def killed_upload(cli: Cli, name: str, data: bytes) -> str:
    """An upload of `data` whose process was killed in the middle, without a word: its id."""
    upload = cli.start("upload", "-", "--filename", name)
    assert upload.stdin is not None
    upload.stdin.write(data[: 9 * PART])
    upload.stdin.flush()
    upload_id = cli.until_durable(8 * PART, name)
    upload.kill()
    upload.communicate(timeout=30)
    return upload_id


def test_an_upload_whose_process_was_killed_is_found_and_finished(cli: Cli) -> None:
    """It is in the list with what is durable, and `uploads resume` sends only the rest."""
    name, data = f"{os.urandom(4).hex()}.bin", os.urandom(11 * PART + 3)
    cli.file(name, data)
    upload_id = killed_upload(cli, name, data)
    rows = [line.split("\t") for line in cli.lines("uploads", "list", "--state", "active")]
    (row,) = [row for row in rows if row[0] == upload_id]
    assert (row[1], int(row[2]) >= 8 * PART, row[7]) == ("ACTIVE", True, name)
    with SlowWire(cli.environment["LEDGERLIFT_TARGET"]) as wire:
        (done,) = cli.objects("--target", wire.address, "uploads", "resume", upload_id, name)
    assert done["document"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert (done["upload_id"], wire.sent < len(data) - 7 * PART) == (upload_id, True)
    (listed,) = cli.objects("uploads", "list", "--request-id", done["request_id"])
    assert (listed["state"], listed["document_id"]) == ("COMMITTED", done["document"]["document_id"])


def test_an_upload_can_be_given_up(cli: Cli) -> None:
    """Once and again; then it cannot be gone on with, and one that nobody knows is a failure of its own code."""
    name, data = f"{os.urandom(4).hex()}.bin", os.urandom(11 * PART)
    cli.file(name, data)
    upload_id = killed_upload(cli, name, data)
    assert cli.lines("uploads", "cancel", upload_id) == [upload_id]
    (cancelled,) = cli.objects("uploads", "cancel", upload_id)
    assert cancelled["state"] == "CANCELLED"
    refused = cli("uploads", "resume", upload_id, name)
    assert (refused.returncode, b"UPLOAD_CANCELLED" in refused.stderr) == (5, True)
    assert b"To go on" not in refused.stderr
    unknown = cli("uploads", "cancel", "01999999-9999-7999-8999-999999999999", upload_id)
    assert (unknown.returncode, unknown.stdout.decode().split()) == (3, [upload_id])


def test_the_source_of_a_resume_has_to_be_there(cli: Cli) -> None:
    """A missing file is told before the server is asked for anything."""
    missing = cli("uploads", "resume", "01999999-9999-7999-8999-999999999999", "no.bin")
    assert (missing.returncode, missing.stderr) == (9, b"ledgerlift: no.bin: No such file or directory\n")


def test_processing_is_shown_and_moved_along(cli: Cli) -> None:
    """UPLOADED, PROCESSING, FAILED with its reason; what is not allowed is refused; every change is audited."""
    cli.file("a.txt")
    (document_id,) = cli.lines("upload", "a.txt")
    assert cli.lines("status", document_id) == ["UPLOADED"]
    assert cli.lines("status", document_id, "processing") == ["PROCESSING"]
    assert cli.lines("status", document_id, "FAILED", "--error", "page 3 is torn") == ["FAILED\tpage 3 is torn"]
    assert cli.lines("status", document_id) == ["FAILED\tpage 3 is torn"]
    refused = cli("status", document_id, "completed")
    assert (refused.returncode, refused.stdout) == (5, b"")
    assert b"cannot become COMPLETED; allowed: RETRYING" in refused.stderr
    (shown,) = cli.objects("status", document_id)
    assert (shown["status"], shown["error_message"]) == ("FAILED", "page 3 is torn")
    changes = [(one["from_status"], one["to_status"]) for one in cli.objects("events", document_id)]
    assert changes[1:] == [("UPLOADED", "PROCESSING"), ("PROCESSING", "FAILED")]


def test_a_status_is_set_once_under_a_request_id(cli: Cli) -> None:
    """A repeat, as a script makes it that does not know how the first ended, adds nothing to the trail."""
    cli.file("a.txt")
    (document_id,) = cli.lines("upload", "a.txt")
    request_id = os.urandom(8).hex()
    for _ in range(2):
        assert cli.lines("status", document_id, "processing", "--request-id", request_id) == ["PROCESSING"]
    assert len(cli.objects("events", document_id)) == 2


def test_documents_are_counted(cli: Cli) -> None:
    """By status and by type; and the store's operations for operators."""
    cli.file("a.csv", os.urandom(8).hex().encode())
    (before,) = cli.objects("stats")
    cli.lines("upload", "a.csv")
    (after,) = cli.objects("stats")
    assert after["total"]["documents"] == before["total"]["documents"] + 1
    assert after["total"]["total_size"] == before["total"]["total_size"] + 16
    text = cli.lines("stats")
    assert any(line.split()[:1] == ["text/csv"] for line in text)
    assert any(line.split()[:1] == ["UPLOADED"] for line in text)
    (storage,) = cli.objects("stats", "--storage")
    assert storage["backend"] == "filesystem"
    assert any(one["call_count"] for one in storage["operations"])
    assert any("calls, 0 failed, mean" in line for line in cli.lines("stats", "--storage"))


def test_following_goes_on_after_the_last_entry(cli: Cli) -> None:
    """The line that Ctrl-C prints shows what comes after: nothing again, nothing left out."""
    cli.file("a.txt")
    (document_id,) = cli.lines("upload", "a.txt")
    follow = cli.start("events", document_id, "--follow")
    assert follow.stdout is not None
    assert b"document.created" in follow.stdout.readline()
    follow.send_signal(signal.SIGINT)
    _, err = follow.communicate(timeout=30)
    assert follow.returncode == 130
    said, hint = err.decode().splitlines()
    assert said == "ledgerlift: interrupted"
    cli.lines("rm", document_id)
    words = shlex.split(hint.removeprefix("To go on after the last entry: "))
    further = cli.start(*words[1:], "--json")
    assert further.stdout is not None
    assert json.loads(further.stdout.readline())["type"] == "document.deleted"
    further.send_signal(signal.SIGTERM)
    further.communicate(timeout=30)
    assert further.returncode == 130
