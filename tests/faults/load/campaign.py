"""`./scripts/faults load`: every promise for a server under load, one after the other, in full size."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tests.faults.backends import Backends
from tests.faults.claims import HEAD, Claim, broken
from tests.faults.load.drain import drain
from tests.faults.load.memory import idle_streams, many_uploads
from tests.faults.load.recycling import recycling
from tests.faults.load.stalls import stalls
from tests.faults.printing import progress, table
from tests.support.stores import MIB, SHARED, Stores

RUNNING, STALLED, UPLOADS, IDLE = 50, 64, 200, 1000
"""Uploads that a SIGTERM meets; that stop after a byte; of 64 MiB at once; that never begin."""
UPLOAD_SIZE, BUDGET = 64 * MIB, 512 * MIB
STALL_TIMEOUT = 30.0
"""Seconds: the default of UPLOAD_STALL_TIMEOUT."""


def run(folder: Path) -> list[str]:
    """On PostgreSQL and versitygw. What was promised and not held; the table is printed."""
    claims: list[Claim] = []
    with Backends.running(folder, (SHARED,)) as backends:

        def measure(what: str, part_size: int, work: Any) -> None:
            progress(what)
            with backends.stores(SHARED, part_size) as stores:
                measured: Coroutine[Any, Any, list[Claim]] = work(stores)
                claims.extend(asyncio.run(measured))

        measure("SIGTERM", 5 * MIB, lambda stores: drain(stores, count=RUNNING))
        measure("stalls", 8 * MIB, lambda stores: stalls(stores, slots=STALLED, stall_timeout=STALL_TIMEOUT))
        measure("a new S3 client", 8 * MIB, lambda stores: recycling(stores, lifetime=1.0, callers=8, seconds=30.0))
        measure("idle streams", 8 * MIB, lambda stores: idle_streams(stores, count=IDLE))
        measure("uploads", 8 * MIB, lambda stores: _uploads(stores))
    table(HEAD, [claim.row for claim in claims])
    return broken(claims)


def _uploads(stores: Stores) -> Coroutine[Any, Any, list[Claim]]:
    return many_uploads(stores, count=UPLOADS, size=UPLOAD_SIZE, budget=BUDGET)
