"""`domain/part_record.py`: parts that become durable one soon after the other share a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from ledgerlift_server.domain.part_record import Part, PartRecord
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import DependencyUnavailable

from tests.support.domain_objects import session
from tests.support.loop_clock import LoopClock, turns

PATIENCE = 1000.0
SIZE = 64


class Transactions:
    """The one method of a ledger that is called, and what it was called with."""

    def __init__(self) -> None:
        self.made: list[tuple[int, list[int]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken: Exception | None = None

    async def record_parts(
        self, _upload_id: str, _epoch: int, size: int, parts: Sequence[StoredPart], _state: bytes | None
    ) -> None:
        """See `UploadLedger`."""
        self.made.append((size, [part.number for part in parts]))
        await self.open.wait()
        if self.broken is not None:
            raise self.broken


class Parts:
    """A record of `count` parts, none of which is durable yet."""

    def __init__(self, count: int) -> None:
        self.clock = LoopClock()
        self.clock.stand_still()
        self.ledger = Transactions()
        self.grown: list[int] = []
        ledger: Any = self.ledger
        self.record = PartRecord(
            session(part_size=SIZE),
            ledger,
            patience=PATIENCE,
            on_durable=lambda: self.grown.append(self.record.persisted_size),
        )
        self._parts = [Part(number + 1, SIZE) for number in range(count)]
        for part in self._parts:
            self.record.add(part)

    async def durable(self, number: int, *, at_once: bool = False) -> asyncio.Task[int]:
        """The part is durable; the task that records it, under way."""
        part = self._parts[number - 1]
        part.stored, part.hashed = StoredPart(number, SIZE, f"etag-{number}", number), True
        update = asyncio.create_task(self.record.update(at_once=at_once))
        await turns()
        return update


async def test_parts_that_come_soon_share_a_transaction() -> None:
    """The first one waits for them, no longer than it has patience, and records all of them."""
    parts = Parts(4)
    first, second, third = [await parts.durable(number) for number in (1, 2, 3)]
    await parts.clock.advance(PATIENCE - 1)
    assert (parts.ledger.made, first.done()) == ([], False)
    await parts.clock.advance(1)
    assert parts.ledger.made == [(0, [1, 2, 3])]
    assert [await one for one in (first, second, third)] == [3, 0, 0]
    assert parts.grown == [3 * SIZE]


async def test_a_part_that_is_alone_is_recorded_all_the_same() -> None:
    """Of a slow stream every part is, each after its wait."""
    parts = Parts(2)
    for number in (1, 2):
        update = await parts.durable(number)
        await parts.clock.advance(PATIENCE)
        assert await update == 1
    assert parts.ledger.made == [(0, [1]), (SIZE, [2])]


@pytest.mark.parametrize("by", ["a part that cannot wait", "word that nothing more comes"])
async def test_what_waits_is_recorded_at_once_when_it_has_to(by: str) -> None:
    """The next part waits for it, or the stream has ended: no patience then."""
    parts = Parts(2)
    first = await parts.durable(1)
    if by == "a part that cannot wait":
        await parts.durable(2, at_once=True)
    else:
        parts.record.hurry()
        await turns()
    assert first.done(), "no clock was moved"
    assert parts.record.persisted_size == await first * SIZE > 0


async def test_a_part_behind_a_gap_neither_waits_nor_is_recorded() -> None:
    """Whoever fills the gap records both."""
    parts = Parts(2)
    assert (await parts.durable(2)).done()
    first = await parts.durable(1, at_once=True)
    assert await first == 2
    assert parts.ledger.made == [(0, [1, 2])]


async def test_what_comes_during_a_transaction_waits_for_company_of_its_own() -> None:
    """It is not in the one under way, and nothing is recorded twice."""
    parts = Parts(3)
    parts.ledger.open.clear()
    first = await parts.durable(1, at_once=True)
    second, third = await parts.durable(2), await parts.durable(3)
    parts.ledger.open.set()
    await parts.clock.advance(PATIENCE)
    assert [await one for one in (first, second, third)] == [1, 2, 0]
    assert parts.ledger.made == [(0, [1]), (SIZE, [2, 3])]


async def test_a_refused_transaction_is_told_to_whoever_made_it_and_none_follows() -> None:
    """Its outcome may be unknown: what follows would not fit."""
    parts = Parts(3)
    parts.ledger.broken = DependencyUnavailable("down")
    first, second = await parts.durable(1), await parts.durable(2)
    await parts.clock.advance(PATIENCE)
    with pytest.raises(DependencyUnavailable):
        await first
    assert await second == 0
    assert await (await parts.durable(3, at_once=True)) == 0
    assert len(parts.ledger.made) == 1
    assert [part.number for part in await parts.record.close()] == [1, 2, 3]
