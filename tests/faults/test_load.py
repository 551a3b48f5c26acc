"""SIGTERM under uploads that are being sent. `./scripts/faults load` has 50 of them, and the other promises."""

from __future__ import annotations

from tests.faults.claims import broken
from tests.faults.load.drain import drain
from tests.support.stores import Stores

RUNNING = 12


async def test_uploads_that_a_sigterm_meets_go_on_at_another_server(shared_stores: Stores) -> None:
    """Each is answered OK with its durable offset within 5 s, the process ends well, a second one finishes all."""
    assert broken(await drain(shared_stores, count=RUNNING)) == []
