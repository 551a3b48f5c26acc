"""`part_pipeline.py`, `part_record.py` and `session_multipart.py`: parts in any order, a slow or failing ledger."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.session_multipart import SessionMultipart
from ledgerlift_server.domain.upload_stream import Stopped
from ledgerlift_server.resilience.deadline import current_deadline, deadline_scope

from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import turns, until
from tests.support.upload_calls import begin, committed, part
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Gate,
    Replica,
    Script,
    UploadRig,
    content,
    failing,
    message,
    stream,
)


async def test_parts_are_stored_side_by_side_and_recorded_in_order(rig: UploadRig, replica: Replica) -> None:
    """What is durable behind a gap waits for it, and then shares one transaction."""
    gate = replica.store.before["put_part"] = Gate(part(1))
    source = Script(*stream(content(3 * PART), to=spec(), finish=False))
    running = begin(replica, source)
    await until(lambda: gate.arrived == 1 and replica.store.done["put_part"] == 2 and source.waiting)
    assert replica.ledger.count("record_parts") == 0
    assert (await rig.session()).persisted_size == 0
    gate.open()
    await until(lambda: replica.ledger.done["record_parts"] == 1)
    assert (await rig.session()).persisted_size == 3 * PART
    source.send(message(finish=True))
    done = await committed(running)
    await rig.check_whole(done.document, content(3 * PART))


async def test_every_recorded_state_of_the_hash_can_be_gone_on_from(rig: UploadRig, replica: Replica) -> None:
    """Left after every part in turn, on a new server each time: the digest is right without reading back."""
    data = content(6 * PART + 100)
    first = await replica.run(*stream(data[:PART], to=spec(), finish=False))
    assert isinstance(first, Stopped)
    for number in range(1, 6):
        left = await rig.replica().run(
            *stream(data[number * PART : (number + 1) * PART], to=first.session.upload_id, finish=False)
        )
        assert isinstance(left, Stopped)
        assert left.session.persisted_size == (number + 1) * PART
    last = rig.replica()
    done = await committed(last.run(*stream(data[6 * PART :], to=first.session.upload_id)))
    await rig.check_whole(done.document, data)
    assert last.store.count("read") == 0


async def test_one_multipart_upload_for_all_streams_of_a_session(rig: UploadRig, replica: Replica) -> None:
    """Begun with the first part, recorded, and found again."""
    data = content(5 * PART)
    left = await replica.run(*stream(data[: 2 * PART], to=spec(), finish=False))
    other = rig.replica()
    await committed(other.run(*stream(data[2 * PART :], to=left.session.upload_id)))  # type: ignore[union-attr]  # left
    assert (replica.store.count("create_multipart"), other.store.count("create_multipart")) == (1, 0)


async def test_a_multipart_upload_that_is_recorded_already_takes_the_place_of_a_new_one(
    rig: UploadRig, replica: Replica
) -> None:
    """Whatever the ledger says is the one: the parts go there, and the other is aborted."""

    async def another_first(upload_id: str, epoch: int, _made: str) -> None:
        session = await rig.session()
        other = await rig.store.create_multipart(session.object_name, token=upload_id)
        assert await rig.ledger.attach_multipart(upload_id, epoch, other) == other

    replica.ledger.before["attach_multipart"] = another_first
    data = content(3 * PART)
    done = await committed(replica.run(*stream(data, to=spec())))
    await rig.check_whole(done.document, data)
    assert list(await rig.store.list_multiparts(limit=10)) == []


async def test_a_part_that_is_called_off_does_not_keep_the_others_from_their_multipart_upload(
    rig: UploadRig, replica: Replica
) -> None:
    """Whoever asked first began it for all."""
    session = (await replica.uploads.open(caller(), spec(), epoch=1)).session
    gate = replica.store.before["create_multipart"] = Gate()
    shared = SessionMultipart(session, cast(Any, replica.store), cast(Any, replica.ledger))
    first, second = asyncio.create_task(shared.id()), asyncio.create_task(shared.id())
    await until(lambda: gate.arrived == 1)
    first.cancel()
    await turns()
    gate.open()
    assert await second == (await rig.session()).multipart_id
    assert replica.store.count("create_multipart") == 1


# A ledger that fails


async def test_the_last_part_is_recorded_with_the_commit_and_not_before(rig: UploadRig, replica: Replica) -> None:
    """It is shorter than the others: recorded by itself, a session that goes on would have it in its middle."""
    replica.ledger.before["begin_commit"] = failing(errors.DependencyUnavailable("down"), times=1)
    data = content(2 * PART + 5)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=spec()))
    session = await rig.durable(2 * PART)
    more = data + content(PART, seed=1)
    done = await committed(replica.run(*stream(more, to=session.upload_id, offset=0)))
    await rig.check_whole(done.document, more)


async def test_a_lost_answer_of_the_ledger_ends_the_stream_and_loses_nothing(
    rig: UploadRig, replica: Replica
) -> None:
    """The parts are recorded, though the server does not know; whoever goes on does."""
    replica.ledger.after["record_parts"] = failing(errors.DependencyUnavailable("connection lost"), times=1)
    data = content(5 * PART)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=spec()))
    await until(lambda: replica.budget.used == 0)
    session = await rig.session()
    assert session.persisted_size >= PART
    assert replica.ledger.count("record_parts") == 1, "what follows an unknown outcome does not fit"
    done = await committed(rig.replica().run(*stream(data, to=session.upload_id, offset=0)))
    await rig.check_whole(done.document, data)


async def test_a_slow_ledger_holds_no_memory_and_no_more_parts_than_may_be_lost(
    rig: UploadRig, replica: Replica
) -> None:
    """A buffer goes back when it is stored; but what a crash would make the client send again stays bounded."""
    gate = replica.ledger.before["record_parts"] = Gate()
    running = begin(replica, Script(*stream(content(9 * PART), to=spec())))
    await until(lambda: replica.store.done["put_part"] == OPTIONS.parts_in_flight)
    await until(lambda: replica.budget.used == PART)  # the one that is being filled
    await asyncio.sleep(0.02)
    assert replica.store.count("put_part") == OPTIONS.parts_in_flight
    gate.open()
    await committed(running)


async def test_one_slow_part_does_not_let_the_others_run_away(rig: UploadRig, replica: Replica) -> None:
    """Parts behind the gap are stored, but no more of them than may be on their way at once."""
    gate = replica.store.before["put_part"] = Gate(part(1))
    running = begin(replica, Script(*stream(content(9 * PART), to=spec())))
    await until(lambda: replica.store.done["put_part"] == OPTIONS.parts_in_flight - 1)
    await asyncio.sleep(0.02)
    assert replica.store.count("put_part") == OPTIONS.parts_in_flight
    gate.open()
    await committed(running)


# A part is the server's


async def test_parts_have_a_time_of_their_own(rig: UploadRig, replica: Replica) -> None:
    """Neither the call's deadline, which may be nearer, nor no limit at all."""
    deadlines: list[float] = []

    async def look(*_: Any) -> None:
        deadline = current_deadline()
        assert deadline is not None
        deadlines.append(deadline.remaining())

    for method in ("create_multipart", "put_part"):
        replica.store.before[method] = look
    for method in ("attach_multipart", "record_parts"):
        replica.ledger.before[method] = look
    with deadline_scope(rig.clock.deadline(15.0)):
        await committed(replica.run(*stream(content(4 * PART), to=spec())))
    assert len(deadlines) >= 7
    assert all(OPTIONS.part_timeout - 10 < left <= OPTIONS.part_timeout for left in deadlines)


async def test_the_commit_has_a_time_of_its_own_as_well(rig: UploadRig, replica: Replica) -> None:
    """The client's deadline does not reach it."""
    deadlines: list[float] = []

    async def look(*_: Any) -> None:
        deadline = current_deadline()
        assert deadline is not None
        deadlines.append(deadline.remaining())

    for method in ("put", "complete_multipart"):
        replica.store.before[method] = look
    for method in ("commit_put", "begin_commit", "publish"):
        replica.ledger.before[method] = look
    with deadline_scope(rig.clock.deadline(15.0)):
        await committed(replica.run(*stream(content(4), to=spec())))
        await committed(replica.run(*stream(content(PART + 4), to=spec())))
    assert len(deadlines) == 5
    assert all(OPTIONS.commit_timeout - 10 < left <= OPTIONS.commit_timeout for left in deadlines)
