"""The command line as a person at a terminal has it: bars that move, colours, Ctrl-C, and going on from there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator

import pexpect
import pytest

from tests.support.command_line import PART, Cli, plain
from tests.support.slow_wire import SlowWire

RATE = 60 * PART
"""Bytes a second of a slow connection: slow enough to be watched."""
MOVED = re.compile(r"([\d.]+) (B|KiB|MiB) of 10\.0 MiB")
UNIT = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}


@pytest.fixture
def slow(cli: Cli) -> Iterator[SlowWire]:
    """A slow connection to the server."""
    with SlowWire(cli.environment["LEDGERLIFT_TARGET"], rate=RATE) as wire:
        yield wire


def positions(seen: str) -> list[float]:
    """Where a bar of a 10 MiB file stood, each time it was drawn."""
    return [float(number) * UNIT[unit] for number, unit in MOVED.findall(plain(seen))]


def test_a_bar_moves_and_the_id_stands_below_it(cli: Cli, slow: SlowWire) -> None:
    """It begins near the start, is drawn many times, never goes back, and is full in the end."""
    cli.file("photo.bin", os.urandom(160 * PART))
    seen = cli.seen("--target", slow.address, "upload", "photo.bin", "--key", os.urandom(4).hex())
    drawn = positions(seen)
    assert len(set(drawn)) >= 5, plain(seen)
    assert drawn == sorted(drawn)
    assert (drawn[0] < 80 * PART, drawn[-1]) == (True, 160 * PART)
    assert "photo.bin" in seen
    assert "durable" in seen
    assert re.fullmatch(r"[0-9a-f-]{36}", plain(seen).splitlines()[-1])


def test_several_files_have_several_bars(cli: Cli, slow: SlowWire) -> None:
    """One for each that runs, and a line that counts them; what is done is printed above, and no bar is left over."""
    names = [f"{letter}.bin" for letter in "abc"]
    for name in names:
        cli.file(name, os.urandom(40 * PART))
    seen = plain(cli.seen("--target", slow.address, "upload", *names, "-j", "3"))
    # All three in one drawing: between two drawings of the line that counts.
    assert any(all(name in drawing for name in names) for drawing in seen.split("of 3 files")), seen
    drawn, counted, rest = seen.rpartition("3 of 3 files")
    assert counted, drawn
    assert "durable" not in rest, "a bar of what is done is still drawn"
    assert sorted(re.findall(r"[0-9a-f-]{36}\s+(\S+)", seen)) == names, seen
    assert "3 files: 3 stored" in seen


def test_ctrl_c_leaves_an_upload_that_the_printed_line_finishes(cli: Cli, slow: SlowWire) -> None:
    """130, the command to go on with, and that command sends only what is missing."""
    data = cli.file("big.bin", os.urandom(160 * PART))
    terminal = cli.on_terminal("--target", slow.address, "upload", "big.bin", "-m", "note=two words", columns=400)
    terminal.expect("big.bin")
    cli.until_durable(16 * PART, "big.bin")
    terminal.sendintr()
    terminal.expect(r"big\.bin: interrupted\r\n")
    terminal.expect(r"To go on where this ended: (ledgerlift [^\r]*)\r\n")
    command = shlex.split(terminal.match.group(1))
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    before = slow.sent
    (result,) = cli.objects(*command[1:])
    assert result["document"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert result["document"]["metadata"] == {"note": "two words"}
    assert slow.sent - before < len(data) - 15 * PART  # what was durable, less what the protocol itself takes


def test_ctrl_c_among_several_prints_one_line_that_finishes_all(cli: Cli, slow: SlowWire) -> None:
    """The bars are gone, the cursor is back, and each document is there once."""
    folder = os.urandom(4).hex()
    for letter in "abc":
        cli.file(f"{folder}/{letter}.bin", os.urandom(100 * PART))
    terminal = cli.on_terminal("--target", slow.address, "upload", "-r", folder, columns=400)
    terminal.logfile_read = io.StringIO()
    terminal.expect("of 3 files")
    cli.until_durable(4 * PART)
    terminal.sendintr()
    terminal.expect(r"3 files: none stored: interrupted\r\n")
    terminal.expect(r"To go on where this ended: (ledgerlift [^\r]*)\r\n")
    command = shlex.split(terminal.match.group(1))
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    shown = terminal.logfile_read.getvalue()
    assert "3 of 3 files" not in shown, "what was cancelled counts as done"
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is still hidden"
    assert len(cli.lines(*command[1:])) == 3
    assert sorted(one["key"] for one in cli.objects("ls", "--key-prefix", folder)) == [
        f"{folder}/{letter}.bin" for letter in "abc"
    ]


def test_a_download_has_a_bar_too(cli: Cli) -> None:
    """And leaves no half file behind when it is interrupted."""
    cli.file("photo.bin", os.urandom(160 * PART))
    (document_id,) = cli.lines("upload", "photo.bin")
    with SlowWire(cli.environment["LEDGERLIFT_TARGET"], rate=RATE, down=True) as wire:
        terminal = cli.on_terminal("--target", wire.address, "download", document_id, "-o", "copy.bin")
        terminal.expect("copy.bin")
        terminal.expect(r"[1-9][\d.]* MiB of 10\.0 MiB")
        terminal.sendintr()
        terminal.expect("ledgerlift:.* interrupted")
        terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert sorted(path.name for path in cli.folder.iterdir()) == ["photo.bin"]
    seen = cli.seen("download", document_id, "-o", "copy.bin")
    assert "10.0 MiB of 10.0 MiB" in plain(seen)


def test_json_on_a_terminal_has_one_object_a_line(cli: Cli) -> None:
    """With --quiet, which leaves out the bars, nothing else is there."""
    cli.file("a.txt")
    cli.file("b.txt")
    seen = plain(cli.seen("upload", "a.txt", "b.txt", "--json", "-q", columns=80))
    found = [json.loads(line) for line in seen.splitlines()]
    assert sorted(one["source"] for one in found) == ["a.txt", "b.txt"]


def test_colours_are_for_terminals_and_for_those_who_want_them(cli: Cli) -> None:
    """A state is green on a terminal; not with NO_COLOR, not where the terminal has none, not in a pipe."""
    coloured = re.compile(r"\x1b\[[\d;]*3[0-7]")
    assert coloured.search(cli.seen("breakers"))
    assert coloured.search(cli.seen("ls", "--status", "nonsense", code=2) + cli.seen("show", "nonsense", code=5))
    assert "\x1b" not in cli("breakers").stdout.decode()
    cli.environment["NO_COLOR"] = "1"
    assert not coloured.search(cli.seen("breakers") + cli.seen("show", "nonsense", code=5) + cli.seen("ls"))


def test_a_terminal_gets_a_table(cli: Cli) -> None:
    """With a heading, of documents as of uploads."""
    cli.file("photo.bin", os.urandom(9 * PART))
    cli.lines("upload", "photo.bin")
    for words in (("ls",), ("uploads", "list")):
        heading, row, *_ = plain(cli.seen(*words, "--limit", "1")).splitlines()
        assert heading.split()[0] == "ID"
        assert heading.split()[-1] == "NAME"
        assert row.split()[-1] == "photo.bin"


@pytest.mark.parametrize(
    ("columns", "heading"),
    [
        (160, ["ID", "SIZE", "TYPE", "STATUS", "CREATED", "KEY", "NAME"]),
        (100, ["ID", "SIZE", "STATUS", "CREATED", "NAME"]),
        (80, ["ID", "SIZE", "STATUS", "NAME"]),
        (50, ["ID", "NAME"]),
    ],
)
def test_a_narrow_terminal_shows_fewer_columns_and_whole_ids(cli: Cli, columns: int, heading: list[str]) -> None:
    """What does not fit is left out by columns, the least needed first: a part of an id is of no use."""
    cli.file("a rather long name.txt")
    (document_id,) = cli.lines("upload", "a rather long name.txt", "--key", os.urandom(12).hex())
    first, second, *_ = plain(cli.seen("ls", "--limit", "1", columns=columns)).splitlines()
    assert first.split() == heading
    assert second.split()[0] == document_id


def test_a_person_who_leaves_a_prompt_of_the_shell_gets_help(cli: Cli) -> None:
    """`ledgerlift` alone says what there is, and that this was no use of it."""
    seen = cli.seen(code=2)
    assert "uploads" in seen
    assert "Exit codes:" in seen
