"""An upload that is left in the middle commits nothing, and goes on where it was left."""

from __future__ import annotations

from random import Random, SystemRandom

from tests.faults.aborts import leave_and_resume
from tests.faults.leaving_client import WAYS, plans
from tests.support.stores import Stores

TRIALS = 6
"""In each way. `./scripts/faults aborts` makes 200."""


async def test_an_upload_that_is_left_commits_nothing_and_can_go_on(stores: Stores) -> None:
    """Five ways to leave, at random places: no document, no object, and the session ends in the right digest."""
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - `./scripts/faults aborts --trials 6 --seed` does the same again
    made = plans(Random(seed), TRIALS, stores.part_size)  # noqa: S311 - to be made again, not to be secret
    outcome = await leave_and_resume(stores, made)
    assert outcome.problems == []
    assert {way: tally.right for way, tally in outcome.tallies.items()} == dict.fromkeys(WAYS, TRIALS)
