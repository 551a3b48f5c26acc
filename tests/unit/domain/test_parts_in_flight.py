"""`domain/part_pipeline.py`: how far a stream may get ahead of what the ledger knows."""

from __future__ import annotations

import asyncio

import pytest
from ledgerlift_server.domain.upload_stream import Committed, Stopped

from tests.support.domain_objects import spec
from tests.support.loop_clock import turns, until
from tests.support.upload_rig import OPTIONS, PART, Gate, Replica, Script, UploadRig, content, stream

PARTS = 20


@pytest.mark.parametrize("where", ["store", "ledger"])
async def test_what_a_crash_can_cost_is_bounded(rig: UploadRig, replica: Replica, where: str) -> None:
    """One part that the store is slow with, or one slow transaction, lets no more than `parts_in_flight` parts lie
    behind the durable prefix: whatever lies there would have to be sent again."""
    if where == "store":
        held = Gate(lambda _name, _multipart_id, number, *_: number == 1)
        replica.store.before["put_part"] = held
    else:
        held = Gate()
        replica.ledger.before["record_parts"] = held
    data = content(PARTS * PART)
    messages = stream(data, to=spec(), size=PART)
    source = Script(*messages[:-1])
    call = asyncio.create_task(replica.run(source=source))
    await asyncio.wait({call}, timeout=0.5)  # time enough to take everything
    assert not source.waiting
    assert replica.store.count("put_part") == OPTIONS.parts_in_flight

    held.open()
    source.send(messages[-1])
    outcome = await call
    assert isinstance(outcome, Committed)
    await rig.check_whole(outcome.document, data)


async def test_nobody_waits_for_parts_that_are_gathered(rig: UploadRig) -> None:
    """Parts wait for others to share their transaction, but no part waits for them, and no stream that has ended."""
    replica, data = rig.replica(record_patience=3600), content(PARTS * PART)
    async with asyncio.timeout(60):
        stopped = await replica.run(*stream(data[: -2 * PART], to=spec(), size=PART, finish=False))
        assert isinstance(stopped, Stopped)
        assert stopped.session.persisted_size == len(data) - 2 * PART
        messages = stream(data[-2 * PART :], to=stopped.session.upload_id, size=PART)
        outcome = await replica.run(*messages)
    assert isinstance(outcome, Committed)
    await rig.check_whole(outcome.document, data)


async def test_gathered_parts_are_recorded_when_their_stream_ends(rig: UploadRig) -> None:
    """All are durable and wait for others, of which no more will come."""
    replica, data = rig.replica(record_patience=3600), content(2 * PART)
    source = Script(*stream(data, to=spec(), size=PART, finish=False))
    call = asyncio.create_task(replica.run(source=source))
    await until(lambda: replica.store.done["put_part"] == 2 and replica.budget.used == 0)
    await turns()
    assert replica.ledger.count("record_parts") == 0
    source.send(None)
    async with asyncio.timeout(60):
        stopped = await call
    assert isinstance(stopped, Stopped)
    assert stopped.session.persisted_size == 2 * PART


async def test_gathered_parts_are_recorded_when_the_last_slot_is_taken(rig: UploadRig) -> None:
    """The part in it may take long, and the next one needs a slot of theirs."""
    replica = rig.replica(record_patience=3600)
    held = replica.store.before["put_part"] = Gate(lambda _name, _multipart_id, number, *_: number == 3)
    messages = stream(content(3 * PART), to=spec(), size=PART, finish=False)
    source = Script(*messages[:2])
    call = asyncio.create_task(replica.run(source=source))
    await until(lambda: replica.store.done["put_part"] == 2 and replica.budget.used == 0)
    await turns()
    source.send(messages[2])
    async with asyncio.timeout(OPTIONS.stall_timeout / 2):  # by then the stream would end, and record them
        await until(lambda: replica.ledger.done["record_parts"] == 1)
    held.open()
    source.send(None)
    assert isinstance(await call, Stopped)
