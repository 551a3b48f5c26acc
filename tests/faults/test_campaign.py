"""One short round of the fault campaign, and what its replays are made of. `./scripts/faults campaign` has many."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests.faults.campaign.deeds import kinds, lanes
from tests.faults.campaign.round import play
from tests.faults.campaign.schedule import Lane, Planned, Schedule, draw
from tests.faults.campaign.shrink import shrink
from tests.faults.campaign.site import Ground
from tests.support.stores import EMBEDDED

FAULTS = (
    Planned(1.0, "clients: answers lost", 0.5, 0.0),
    Planned(1.5, "server killed", 0.2, 0.0),
    Planned(4.0, "clients: connections reset", 0.5, 0.0),
)
"""Few, and none that a slow machine needs minutes to get over."""


@pytest.mark.timeout(300)  # two starts of a server, and the two stores read twice, on whatever else the machine does
async def test_callers_of_every_sort_are_told_the_truth_among_faults(tmp_path: Path) -> None:
    """Everything acknowledged is there once and whole, and nothing else; the ledger and the trail only grow."""
    seed = f"{SystemRandom().getrandbits(32)}"
    print(f"seed {seed}")  # noqa: T201 - what the callers do can be had again with it
    with Ground.running(tmp_path, EMBEDDED, disks=False) as ground:
        outcome = await play(ground, Schedule(EMBEDDED, seed, 5.0, FAULTS))
    assert outcome.wrong == []
    assert outcome.faults.total() >= 2  # one of each lane; the other may find its time over
    assert outcome.documents > 0
    assert outcome.looks > 0
    assert outcome.heard > 0


async def test_of_the_faults_of_a_replay_those_are_left_that_it_needs() -> None:
    """Two of twenty are enough, wherever they are, and the round ends soon after them."""
    faults = tuple(Planned(float(at), "any", 1.0, 0.0) for at in range(20))
    needed = {faults[3], faults[12]}

    async def goes_wrong(candidate: Schedule) -> bool:
        return needed <= set(candidate.faults)

    shortest = await shrink(Schedule(EMBEDDED, "1/0", 60.0, faults), goes_wrong, patience=60.0)
    assert set(shortest.faults) == needed
    assert shortest.seconds < 20


def test_a_seed_makes_the_same_round_again(tmp_path: Path) -> None:
    """Also from the file that a run has written."""
    some = [Lane("servers", {"killed": 1.0, "stopped": 8.0}), Lane("links", {"reset": 2.0})]
    drawn = draw(EMBEDDED, "7/3", 60.0, some)
    assert drawn == draw(EMBEDDED, "7/3", 60.0, some) != draw(EMBEDDED, "7/4", 60.0, some)
    drawn.save(tmp_path / "replay.json")
    assert Schedule.load(tmp_path / "replay.json") == drawn


def test_the_kinds_of_faults_are_drawn_from_lanes(tmp_path: Path) -> None:
    """Every kind that can be done here is in one lane, and what a schedule names can be done."""
    with Ground.running(tmp_path, EMBEDDED, disks=False) as ground:
        known = kinds(ground)
        drawn = draw(EMBEDDED, "1/0", 600.0, lanes(ground))
    assert {fault.kind for fault in drawn.faults} == set(known)
