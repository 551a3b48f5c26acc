"""Promises for a server under load, small. `./scripts/faults load` holds it to all of them, in full size."""

from __future__ import annotations

from tests.faults.claims import broken
from tests.faults.load.drain import drain
from tests.faults.load.recycling import recycling
from tests.support.stores import Stores

RUNNING = 12


async def test_uploads_that_a_sigterm_meets_go_on_at_another_server(shared_stores: Stores) -> None:
    """Each is answered OK with its durable offset within 5 s, the process ends well, a second one finishes all."""
    assert broken(await drain(shared_stores, count=RUNNING)) == []


async def test_nobody_notices_that_the_stores_client_is_made_anew(shared_stores: Stores) -> None:
    """Calls in flight keep the client that they began with."""
    assert broken(await recycling(shared_stores, lifetime=0.2, callers=4, seconds=3.0)) == []
