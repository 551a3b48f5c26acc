"""One short round of the fault campaign, and what its replays are made of. `./scripts/faults campaign` has many."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.faults.campaign import campaign
from tests.faults.campaign.deeds import kinds, lanes
from tests.faults.campaign.model import Model
from tests.faults.campaign.round import play
from tests.faults.campaign.schedule import Lane, Planned, Schedule, draw
from tests.faults.campaign.shrink import shrink
from tests.faults.campaign.site import Ground
from tests.faults.campaign.witness import Witness
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


@pytest.fixture
def looked() -> Iterator[list[Any]]:
    """Functions, each of which is called once, behind the rows of a look that are not compared yet."""
    waiting: list[Any] = []

    def behind_a_look(*_: Any) -> None:
        if waiting:
            waiting.pop(0)()

    event.listen(Engine, "after_cursor_execute", behind_a_look)
    yield waiting
    event.remove(Engine, "after_cursor_execute", behind_a_look)


@pytest.mark.parametrize("kept", [True, False])
def test_what_becomes_durable_behind_a_look_is_missed_by_the_next_one(
    kept: bool, tmp_path: Path, looked: list[Any]
) -> None:
    """Told is held against a look that began later, which has it; a server that told it and lost it is found."""
    ledger, model, seen = tmp_path / "ledger.db", Model(), threading.Event()
    columns = "upload_id, request_id, state, epoch, persisted_size, document_id"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")  # a look keeps no writer waiting
        connection.execute(f"CREATE TABLE sessions ({columns})")
        connection.execute("INSERT INTO sessions VALUES ('one', 'r', 'ACTIVE', 1, 100, NULL)")

    def become_durable() -> None:
        if kept:
            with closing(sqlite3.connect(ledger)) as connection, connection:
                connection.execute("UPDATE sessions SET persisted_size = 200")
        model.is_durable("one", 200)
        looked.append(seen.set)

    looked.append(become_durable)
    witness = Witness(f"sqlite:///{ledger}", model)
    witness.start()
    assert seen.wait(30)
    witness.stop(30)
    assert witness.looks >= 2
    assert bool(model.wrong) is not kept


def test_a_tool_that_ends_by_itself_is_nobodys_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its round is told and does not count, and the next one has a ground of its own; too many of them are told as
    what keeps the campaign from proving anything."""
    grounds: list[Ground] = []

    async def without_its_tool(ground: Ground, schedule: Schedule) -> Any:
        grounds.append(ground)
        ground.links.kill()
        raise OSError("nobody listens there")

    monkeypatch.setattr(campaign, "play", without_its_tool)
    problems = campaign.run(tmp_path, [EMBEDDED], 1.0, 7)
    assert problems == [
        f"round {number} (seed 7/{number}): toxiproxy before the servers ended by itself" for number in range(4)
    ]
    assert len({id(ground) for ground in grounds}) == 4
    assert "| embedded | 7 | " in capsys.readouterr().out


def test_a_round_that_breaks_off_for_another_reason_is_a_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a server does not end, or does not start again."""

    async def broken_off(ground: Ground, schedule: Schedule) -> Any:
        raise AssertionError("the server ended with 1")

    monkeypatch.setattr(campaign, "play", broken_off)
    (problem,) = campaign.run(tmp_path, [EMBEDDED], 1.0, 7, shrinking=0.0)
    assert "the server ended with 1" in problem
