"""`domain/part_pipeline.py` and `session_multipart.py` over a store that fails or damages bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.part_buffers import PartBuffer
from ledgerlift_server.domain.store_port import IntegrityRefused
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import reports_of, turns, until
from tests.support.upload_calls import SlowFirstHash, begin, committed, part
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Gate,
    Replica,
    Script,
    UploadRig,
    content,
    failing,
    stream,
)


@pytest.mark.parametrize("number", [1, 2, 3, 5])
async def test_a_part_that_fails_ends_the_stream_and_keeps_what_lies_before_it(
    rig: UploadRig, replica: Replica, number: int
) -> None:
    """Also when the parts before it become durable only afterwards; whoever goes on sends the rest."""
    gate = replica.store.before["put_part"] = Gate(part(*range(1, number)))
    data = content(6 * PART)

    async def hook(*args: Any) -> None:
        if part(number)(*args):
            raise errors.DependencyUnavailable("the store fails")
        if number > 3 or args[2] > number:
            return
        await gate(*args)

    replica.store.before["put_part"] = hook
    source = Script(*stream(data, to=spec()))
    with pytest.raises(errors.DependencyUnavailable, match="the store fails"):
        await replica.run(source=source)
    gate.open()
    await until(lambda: replica.budget.used == 0)
    session = await rig.durable((number - 1) * PART)
    assert session.state is UploadState.ACTIVE
    done = await committed(rig.replica().run(*stream(data, to=session.upload_id, offset=0)))
    await rig.check_whole(done.document, data)


async def test_a_stream_that_waits_for_a_message_is_woken_by_a_failing_part(replica: Replica) -> None:
    """The client is not left to send into the void."""
    replica.store.before["put_part"] = failing(errors.DependencyUnavailable("the store fails"))
    source = Script(*stream(content(PART), to=spec(), finish=False))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(source=source)


async def test_a_stream_that_waits_for_the_store_is_woken_by_a_failing_part(rig: UploadRig, replica: Replica) -> None:
    """Not all the others have to end first."""
    gate = Gate(part(1, 3))
    release = asyncio.Event()

    async def hook(*args: Any) -> None:
        await gate(*args)
        if part(2)(*args):
            await release.wait()
            raise errors.DependencyUnavailable("the store fails")

    replica.store.before["put_part"] = hook
    running = begin(replica, Script(*stream(content(9 * PART), to=spec())))
    await until(lambda: gate.arrived == 2)
    await turns()
    release.set()
    with pytest.raises(errors.DependencyUnavailable):
        await running
    gate.open()
    await until(lambda: replica.budget.used == 0)
    assert replica.store.count("put_part") == OPTIONS.parts_in_flight, "nothing is sent after the failure"


async def test_a_commit_that_waits_for_the_store_is_ended_by_a_failing_part(rig: UploadRig, replica: Replica) -> None:
    """The last bytes wait for their turn, and the part before them fails: nobody waits for ever."""
    release = asyncio.Event()

    async def hook(*args: Any) -> None:
        await release.wait()
        if part(1)(*args):
            raise errors.DependencyUnavailable("the store fails")

    replica.store.before["put_part"] = hook
    running = begin(replica, Script(*stream(content(OPTIONS.parts_in_flight * PART + 9), to=spec())))
    await until(lambda: replica.store.count("put_part") == OPTIONS.parts_in_flight)
    await turns(30)
    release.set()
    with pytest.raises(errors.DependencyUnavailable, match="the store fails"):
        await running
    assert (await rig.nothing_committed()).state is UploadState.ACTIVE


@pytest.mark.parametrize("in_order", [True, False])
def test_parts_that_are_called_off_at_the_end_of_the_process_lose_no_memory(
    sqlite_url: str, tmp_path: Path, in_order: bool
) -> None:
    """The loop cancels what still runs, in any order: each part lets go of its buffer, and none breaks another."""

    async def scenario() -> None:
        async with UploadRig(sqlite_url, tmp_path / "objects") as rig:
            slow = SlowFirstHash(rig.compute)
            replica = rig.replica(offload=slow)
            gate = replica.store.before["put_part"] = Gate()
            running = begin(replica, Script(*stream(content(9 * PART), to=spec())))
            await until(lambda: gate.arrived == OPTIONS.parts_in_flight and slow.gate.arrived == 1)
            tasks = [task for task in asyncio.all_tasks() if "PartPipeline._carry" in repr(task)]
            for task in sorted(tasks, key=lambda task: task.get_name(), reverse=not in_order):
                task.cancel()
                await turns()
            with pytest.raises(asyncio.CancelledError):
                await running
            await until(lambda: replica.budget.used == 0)

    assert reports_of(scenario) == []


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("size", [100, 3 * PART])
async def test_bytes_damaged_on_their_way_to_the_store_are_sent_once_more(
    rig: UploadRig, replica: Replica, size: int, times: int
) -> None:
    """Twice in a row is a store that cannot be relied on."""
    replica.store.before["put"] = failing(IntegrityRefused(), times=times)
    replica.store.before["put_part"] = failing(IntegrityRefused(), part(2), times=times)
    running = replica.run(*stream(content(size), to=spec()))
    if times == 1:
        await rig.check_whole((await committed(running)).document, content(size))
    else:
        with pytest.raises(errors.DependencyUnavailable, match="twice"):
            await running
        assert (await rig.session()).state is UploadState.ACTIVE


async def test_bytes_damaged_on_their_way_into_a_part_are_not_stored(
    rig: UploadRig, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is given the sum of what was received, and refuses what is not that."""
    append = PartBuffer.append

    def damaging(buffer: PartBuffer, data: memoryview) -> None:
        append(buffer, data)
        buffer.view()[-1] ^= 1

    monkeypatch.setattr(PartBuffer, "append", damaging)
    with pytest.raises(errors.DependencyUnavailable, match="twice"):
        await replica.run(*stream(content(3 * PART), to=spec()))
    session = await rig.session()
    assert (session.state, session.persisted_size) == (UploadState.ACTIVE, 0)


async def test_a_multipart_upload_that_cannot_be_begun_fails_the_stream(rig: UploadRig, replica: Replica) -> None:
    """All parts that wait for it end, and it can be tried again."""
    replica.store.before["create_multipart"] = failing(errors.DependencyUnavailable("no"), times=1)
    data = content(4 * PART)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=spec()))
    await until(lambda: replica.budget.used == 0)
    session = await rig.session()
    await committed(replica.run(*stream(data, to=session.upload_id)))


async def test_a_multipart_upload_that_may_be_recorded_is_not_aborted(rig: UploadRig, replica: Replica) -> None:
    """The ledger's answer was lost: the next stream goes on with exactly that one."""
    replica.ledger.after["attach_multipart"] = failing(errors.DependencyUnavailable("connection lost"), times=1)
    data = content(2 * PART)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=spec()))
    assert replica.store.count("abort_multipart") == 0
    done = await committed(replica.run(*stream(data, to=(await rig.session()).upload_id)))
    await rig.check_whole(done.document, data)


async def test_a_store_that_lost_the_parts_is_told_as_such(rig: UploadRig, replica: Replica) -> None:
    """A lifecycle rule aborted the unfinished upload: going on is of no use; a new upload under the id works."""
    data = content(4 * PART)
    asked = spec(request_id="r")
    await replica.run(*stream(data[: 2 * PART], to=asked, finish=False))
    session = await rig.session()
    assert session.multipart_id is not None
    await rig.store.abort_multipart(session.object_name, session.multipart_id)
    with pytest.raises(errors.StoredObjectCorrupt):
        await replica.run(*stream(data, to=asked))
    assert (await rig.session()).state is UploadState.FAILED
    await rig.check_whole((await committed(replica.run(*stream(data, to=asked)))).document, data)


async def test_parts_that_are_aborted_under_a_running_stream_tell_why(rig: UploadRig, replica: Replica) -> None:
    """The session was cancelled, and its parts were removed before the stream heard of it."""
    gate = replica.store.before["put_part"] = Gate()
    running = begin(replica, Script(*stream(content(PART), to=spec(), finish=False)))
    await until(lambda: gate.arrived == 1)
    session = await rig.session()
    assert session.multipart_id is not None
    await rig.ledger.cancel(caller(), session.upload_id)  # as another server would
    await rig.store.abort_multipart(session.object_name, session.multipart_id)
    gate.open()
    with pytest.raises(errors.UploadCancelled):
        await running
