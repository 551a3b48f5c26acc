"""`domain/part_pipeline.py`: how far a stream may get ahead of what the ledger knows."""

from __future__ import annotations

import asyncio

import pytest
from ledgerlift_server.domain.upload_stream import Committed, Stopped

from tests.support.domain_objects import spec
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
