"""Callers over a network that resets and delays, to a server that refuses and is killed. `./scripts/faults fetch` has
more of them."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

from tests.faults.fetch.campaign import fetch
from tests.support.stores import embedded

FEWER = 0.8
"""Of so few operations; in full size 0.95 is asked for. A server that takes more than ten seconds to restart, as on a
machine with too much to do, costs every caller one operation."""


async def test_our_client_hides_what_breaks_and_tells_nothing_wrong(tmp_path: Path) -> None:
    """Of what fails with plain stubs nearly nothing does with it; every answer is right, nothing is done twice."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - the operations and the network's moods can be had again with it
    outcome = await fetch(embedded(tmp_path), seed, callers=3, count=50, pace=0.05)
    assert outcome.wrong == []
    assert outcome.plain.failed, "nothing broke"
    assert outcome.fewer >= FEWER, (outcome.plain.row, outcome.ours.row, outcome.away)
