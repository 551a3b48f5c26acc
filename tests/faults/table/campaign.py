"""`./scripts/faults table`: the whole table, or the rows that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.faults.printing import progress, say, table
from tests.faults.table.faults import FAULTS
from tests.faults.table.installation import RECOVERY_TIMEOUT, Installation
from tests.faults.table.row import HEAD, OPEN_P99, Row, measure


def run(folder: Path, only: Sequence[str]) -> list[str]:
    """`only`: parts of the names of rows, as `database: killed`; none for all. What was wrong in any of them."""
    say(
        f"Breakers try again after {RECOVERY_TIMEOUT} s (DB_RECOVERY_TIMEOUT, S3_RECOVERY_TIMEOUT) and not after the "
        "default of 60; everything else is as a server has it by default."
    )
    faults = [fault for fault in FAULTS if not only or any(part in fault.title for part in only)]
    rows: list[Row] = []
    problems: list[str] = []
    with Installation.running(folder) as site:
        for fault in faults:
            if fault.needs_disk and not site.disks:
                say(f"SKIPPED {fault.title}: {site.no_disks}")
                continue
            progress(fault.title)
            try:
                row = asyncio.run(measure(site, fault))
            except (
                Exception
            ) as failed:  # the campaign's own, as a backend that did not come back: told with what there is
                problems.append(f"{fault.title}: the table ends here, {failed!r}")
                break
            rows.append(row)
            problems += [f"{fault.title}: {problem}" for problem in row.problems]
    if rows:
        table(HEAD, [row.cells for row in rows])
        for row in rows:
            if row.open_p99 is not None and row.open_p99 > OPEN_P99:
                say(f"goal missed: {row.fault.title}: p99 of refusals is {row.open_p99 * 1000:.0f} ms, not 20")
    return problems
