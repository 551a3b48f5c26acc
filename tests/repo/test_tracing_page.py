"""docs/tracing.md: its commands, run, and the trace that they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repo.readme import blocks, copied_checkout, perform
from tests.support.server_thread import server_in_thread
from tests.support.tools import ROOT

PAGE = (ROOT / "docs" / "tracing.md").read_text()
TIMES = re.compile(r" \d+\.\d +\d+\.\d( |$)")


def _names(lines: list[str]) -> list[str]:
    return [re.split(r" {2,}", line.strip())[0] for line in lines]


@pytest.mark.timeout(300)
def test_its_commands_show_one_trace(tmp_path: Path) -> None:
    """Client, server, parts and commit with their times, by the command; the client's spans, by the example."""
    command, example = [block for block in blocks(PAGE) if block.run]
    checkout = copied_checkout(tmp_path / "checkout")
    shown = perform(command, checkout, "none")
    assert shown.returncode == 0, shown.stdout
    assert re.search(r"^trace [0-9a-f]{32};", shown.stdout, re.MULTILINE), shown.stdout
    lines = [line for line in shown.stdout.splitlines() if TIMES.search(line)]  # gRPC may have a word of its own, too
    assert sum("[ledgerlift-server]" in line for line in lines) == 3  # CreateUpload, and two segments
    # The same spans as on the page. Who records parts that are ready together is chance.
    [printed] = [block.text for block in blocks(PAGE) if block.language == "text"]
    chance = "database ledger.record_parts"
    expected = [name for name in _names(printed.splitlines()[1:]) if name != chance]
    assert sorted(name for name in _names(lines) if name != chance) == sorted(expected)

    with server_in_thread(tmp_path) as server:
        done = perform(example, checkout, server.address)
    assert done.returncode == 0, done.stdout
    assert '"name": "ledgerlift upload"' in done.stdout
