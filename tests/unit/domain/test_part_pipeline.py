"""`domain/part_pipeline.py`, `part_record.py` and `session_multipart.py`: parts in any order, stores that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from ledgerlift_server import errors
from ledgerlift_server.adapters.digest import HashlibHashers
from ledgerlift_server.domain.offload_port import Offload
from ledgerlift_server.domain.ordered_hash import INLINE_SIZE
from ledgerlift_server.domain.part_buffers import PartBuffer
from ledgerlift_server.domain.session_multipart import SessionMultipart
from ledgerlift_server.domain.store_port import IntegrityRefused
from ledgerlift_server.domain.upload_models import UploadState
from ledgerlift_server.domain.upload_stream import Committed, Stopped
from ledgerlift_server.resilience.deadline import current_deadline, deadline_scope

from tests.support.databases import run_sql
from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import reports_of, turns, until
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Gate,
    Replica,
    Script,
    UploadRig,
    content,
    digest,
    failing,
    message,
    stream,
)

T = TypeVar("T")


def part(*numbers: int) -> Callable[..., bool]:
    """Of the calls of `put_part`, those of these parts."""
    return lambda _name, _id, number, *_: number in numbers


def begin(replica: Replica, source: Script) -> asyncio.Task[Committed | Stopped]:
    """The call, running."""
    return asyncio.create_task(replica.run(source=source))


async def committed(running: Any) -> Committed:
    """The outcome of a call, which has to be a document."""
    outcome = await running
    assert isinstance(outcome, Committed)
    return outcome


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


# Hashing


class SlowFirstHash:
    """Computes as ever, but for the first part's hash, which waits for the gate."""

    def __init__(self, compute: Offload) -> None:
        self._compute = compute
        self._hashed = 0
        self.gate = Gate()

    async def __call__(self, fn: Callable[..., T], /, *args: object) -> T:
        """See `Offload`."""
        if fn.__name__ == "_absorb":
            self._hashed += 1
            if self._hashed == 1:
                await self.gate()
        return await self._compute(fn, *args)


async def test_parts_are_hashed_in_order_and_recorded_with_their_state(rig: UploadRig) -> None:
    """One slow hash: those behind it wait, and nothing is recorded that could not be gone on from."""
    slow = SlowFirstHash(rig.compute)
    replica = rig.replica(offload=slow)
    data = content(3 * PART + 9)
    running = begin(replica, Script(*stream(data, to=spec())))
    await until(lambda: slow.gate.arrived == 1 and replica.store.done["put_part"] == 3)
    await asyncio.sleep(0.02)
    assert replica.ledger.count("record_parts") == 0
    assert replica.budget.used == 3 * PART + 9, "a buffer is needed until it is hashed"
    slow.gate.open()
    await rig.check_whole((await committed(running)).document, data)


async def test_a_part_that_is_called_off_does_not_break_those_before_it(rig: UploadRig) -> None:
    """It waited for its turn to be hashed; whose turn it was goes on and is recorded."""
    slow = SlowFirstHash(rig.compute)
    replica = rig.replica(offload=slow)
    running = begin(replica, Script(*stream(content(3 * PART), to=spec(), finish=False)))
    await until(lambda: slow.gate.arrived == 1 and replica.store.done["put_part"] == 3)
    carriers = [task for task in asyncio.all_tasks() if "PartPipeline._carry" in repr(task)]
    max(carriers, key=lambda task: int(task.get_name().rpartition("-")[2])).cancel()
    await turns()
    slow.gate.open()
    with pytest.raises(asyncio.CancelledError):
        await running
    await rig.durable(2 * PART)


async def test_a_hash_that_fails_is_never_recorded(rig: UploadRig) -> None:
    """Nor is anything behind it: the digest would be wrong."""

    class Failing(SlowFirstHash):
        async def __call__(self, fn: Callable[..., T], /, *args: object) -> T:
            if fn.__name__ == "_absorb":
                self._hashed += 1
                if self._hashed == 2:
                    raise MemoryError
            return await self._compute(fn, *args)

    replica = rig.replica(offload=Failing(rig.compute))
    data = content(5 * PART)
    with pytest.raises(MemoryError):
        await replica.run(*stream(data, to=spec()))
    await until(lambda: replica.budget.used == 0)
    session = await rig.durable(PART)
    done = await committed(rig.replica().run(*stream(data, to=session.upload_id, offset=0)))
    await rig.check_whole(done.document, data)


@pytest.mark.parametrize("size", [INLINE_SIZE, INLINE_SIZE + 1, 2 * INLINE_SIZE])
async def test_small_documents_are_hashed_right_on_either_side_of_the_thread_hop(rig: UploadRig, size: int) -> None:
    """Inline below, on a thread above; below one part in any case."""
    replica = rig.replica(replace(OPTIONS, part_size=4 * INLINE_SIZE, memory_budget=16 * INLINE_SIZE))
    data = content(size)
    done = await committed(replica.run(*stream(data, to=spec(), size=50_000)))
    await rig.check_whole(done.document, data)
    assert replica.store.count("put") == 1


# A store that fails


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


# A lost hash state


@pytest.mark.parametrize("how", ["cannot", "damaged", "missing"])
async def test_without_the_hash_state_the_object_is_read_back(rig: UploadRig, how: str, sqlite_url: str) -> None:
    """A server that cannot save or restore it, or a damaged one: the digest is still the server's own."""
    data = content(5 * PART + 7)
    first = rig.replica(hashers=HashlibHashers() if how == "missing" else None)
    left = await first.run(*stream(data[: 3 * PART], to=spec(), finish=False))
    assert isinstance(left, Stopped)
    if how == "damaged":
        run_sql(sqlite_url, "UPDATE sessions SET sha_state = x'00112233'")
    second = rig.replica(hashers=HashlibHashers() if how == "cannot" else None)
    done = await committed(second.run(*stream(data[3 * PART :], to=left.session.upload_id)))
    await rig.check_whole(done.document, data)
    assert done.receipt.sha256 == done.document.sha256
    assert second.store.count("read") > 0


async def test_digests_that_contradict_each_other_are_refused_without_a_hash_state(rig: UploadRig) -> None:
    """One of them is wrong, whichever it is: nothing needs to be read back for that."""
    replica = rig.replica(hashers=HashlibHashers())
    data = content(3 * PART)
    left = await replica.run(*stream(data[:PART], to=spec(sha256=digest(data)), finish=False))
    assert isinstance(left, Stopped)
    rest = stream(data[PART:], to=left.session.upload_id)
    rest[-1] = replace(rest[-1], sha256="f" * 64)
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(*rest)
    assert (await rig.session()).state is UploadState.FAILED
    assert await rig.objects() == set()


async def test_a_wrong_digest_is_found_by_reading_back_too(rig: UploadRig) -> None:
    """Nothing is published on trust, and what was stored is removed."""
    replica = rig.replica(hashers=HashlibHashers())
    data = content(3 * PART)
    left = await replica.run(*stream(data[:PART], to=spec(sha256="0" * 64), finish=False))
    assert isinstance(left, Stopped)
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(*stream(data[PART:], to=left.session.upload_id))
    assert await rig.all_documents() == ()
    assert (await rig.session()).state is UploadState.FAILED
    await replica.janitor.run_once()
    assert await rig.objects() == set()
