"""Two rows of the fault table, held short. `./scripts/faults table` makes all of them, in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.table.faults import FAULTS
from tests.faults.table.installation import Installation
from tests.faults.table.row import measure

HOLD = 3.0
"""Seconds that a fault lasts here at most."""


@pytest.mark.parametrize("title", ["database: read-only (25006)", "storage: 503 to everything"])
async def test_a_fault_is_told_with_a_code_that_says_what_to_do_and_loses_nothing(tmp_path: Path, title: str) -> None:
    """No INTERNAL, no UNKNOWN, no short call over 30 s, every acknowledged document whole, and all well again."""
    (fault,) = (fault for fault in FAULTS if fault.title == title)
    with Installation.running(tmp_path, disks=False) as site:
        row = await measure(site, replace(fault, hold=HOLD))
    assert row.problems == [], row.cells
    assert any(what.startswith("UNAVAILABLE") for what in row.seen), row.cells  # else nothing was tried
    assert row.acknowledged > 0


async def test_steady_readers_do_not_notice_that_postgresql_is_restarted(tmp_path: Path) -> None:
    """Whatever a caller asks is answered as asked, a little later: the transaction is made again."""
    (fault,) = (fault for fault in FAULTS if fault.title == "database: restarted")
    with Installation.running(tmp_path, disks=False) as site:
        row = await measure(site, fault)
    assert row.problems == [], row.cells
    assert set(row.seen) == {"OK"}, row.cells
