"""Callers over a network that resets and delays, to a server that refuses and is killed. `./scripts/faults fetch` has
more of them."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

from tests.faults.claims import broken
from tests.faults.fetch.campaign import fetch
from tests.support.stores import embedded


async def test_our_client_hides_what_breaks_and_tells_nothing_wrong(tmp_path: Path) -> None:
    """Of what fails with plain stubs at least 95 % does not with our client, and every answer is right, once."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - the operations and the network's moods can be had again with it
    outcome = await fetch(embedded(tmp_path), seed, callers=3, count=50, pace=0.05)
    assert outcome.plain.failed, "nothing broke"
    assert broken(outcome.claims) == [], (outcome.plain.row, outcome.ours.row, outcome.wrong)
