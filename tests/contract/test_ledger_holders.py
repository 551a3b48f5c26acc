"""What a stream that holds a session writes, and what fences it off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ledgerlift_server.adapters.sql import SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.upload_models import CommitPlan, Receipt, UploadSession, UploadState
from ledgerlift_server.errors import (
    ChecksumMismatch,
    LedgerLiftError,
    UploadAlreadyCommitted,
    UploadCancelled,
    UploadCommitting,
    UploadExpired,
    UploadNotFound,
    UploadSuperseded,
)

from tests.support.databases import Sql
from tests.support.uploads import PART_SIZE, caller, digest, open_session, parts, single_put


def _whole_plan(session: UploadSession, size: int, tail: int = 0) -> CommitPlan:
    last = parts(size // PART_SIZE + 1, 1, tail) if tail else []
    return CommitPlan(
        size + tail,
        None,
        session.object_name,
        False,
        tuple(last),
        Receipt(size + tail, 3, 2, ""),
        digest(b"declared"),
    )


async def test_parts_move_the_durable_prefix(ledger: SqlUploadLedger, sql: Sql) -> None:
    """Size, count, hash state and lifetime follow; the parts come back as they were stored, in order."""
    session = await open_session(ledger)
    sql("UPDATE sessions SET lifetime = lifetime * 2")
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 2), b"state-2")
    await ledger.record_parts(session.upload_id, 1, 2 * PART_SIZE, parts(3, 1), b"\x00state-3\xff")
    now = await ledger.get("alice", session.upload_id)
    assert (now.persisted_size, now.part_count, now.sha_state) == (3 * PART_SIZE, 3, b"\x00state-3\xff")
    assert now.expire_time > session.expire_time
    assert now.update_time >= session.update_time
    assert list(await ledger.parts(session.upload_id)) == parts(1, 3)


async def test_a_lost_hash_state_is_recorded_as_lost(ledger: SqlUploadLedger) -> None:
    """None replaces the state before: it must never describe another prefix than the recorded one."""
    session = await open_session(ledger)
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), b"state")
    await ledger.record_parts(session.upload_id, 1, PART_SIZE, parts(2, 1), None)
    assert (await ledger.get("alice", session.upload_id)).sha_state is None


async def test_taking_over_raises_the_epoch(ledger: SqlUploadLedger, sql: Sql) -> None:
    """The newer holder writes; the older one is superseded, for every kind of write, and changes nothing."""
    session = await open_session(ledger)
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None)
    sql("UPDATE sessions SET lifetime = lifetime * 2")
    taken = await ledger.take("alice", session.upload_id)
    assert (taken.epoch, taken.persisted_size, taken.state) == (2, PART_SIZE, UploadState.ACTIVE)
    assert taken.expire_time > session.expire_time
    upload_id = session.upload_id
    writes: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.record_parts(upload_id, 1, PART_SIZE, parts(2, 1), None),
        lambda: ledger.attach_multipart(upload_id, 1, "late"),
        lambda: ledger.begin_commit(upload_id, 1, PART_SIZE, _whole_plan(session, PART_SIZE)),
        lambda: ledger.commit_put(upload_id, 1, single_put(session, b"late")),
        lambda: ledger.fail(upload_id, ChecksumMismatch("late"), epoch=1),
    ]
    for write in writes:
        with pytest.raises(UploadSuperseded):
            await write()
    assert await ledger.get("alice", upload_id) == taken
    assert len(await ledger.parts(upload_id)) == 1
    await ledger.record_parts(upload_id, 2, PART_SIZE, parts(2, 1), None)


async def test_a_holder_that_is_wrong_about_the_durable_size_writes_nothing(ledger: SqlUploadLedger) -> None:
    """The compare-and-set includes the size: the same parts cannot be counted twice, nor any be left out."""
    session = await open_session(ledger)
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 2), None)
    for believed in (0, PART_SIZE, 3 * PART_SIZE):
        with pytest.raises(UploadSuperseded):
            await ledger.record_parts(session.upload_id, 1, believed, parts(3, 1), None)
        with pytest.raises(UploadSuperseded):
            await ledger.begin_commit(session.upload_id, 1, believed, _whole_plan(session, believed))
    now = await ledger.get("alice", session.upload_id)
    assert (now.persisted_size, now.state) == (2 * PART_SIZE, UploadState.ACTIVE)


async def test_parts_that_do_not_follow_are_a_defect(ledger: SqlUploadLedger) -> None:
    """A gap in the numbers undoes the whole transaction, the size included."""
    session = await open_session(ledger)
    with pytest.raises(ValueError, match="do not follow"):
        await ledger.record_parts(session.upload_id, 1, 0, parts(2, 1), None)
    with pytest.raises(ValueError, match="add up"):
        await ledger.begin_commit(session.upload_id, 1, 0, _whole_plan(session, PART_SIZE))
    assert await ledger.get("alice", session.upload_id) == session
    assert await ledger.parts(session.upload_id) == []


async def test_the_first_multipart_id_stays(ledger: SqlUploadLedger) -> None:
    """Whoever comes second is told the id that is recorded."""
    session = await open_session(ledger)
    assert await ledger.attach_multipart(session.upload_id, 1, "first") == "first"
    taken = await ledger.take("alice", session.upload_id)
    assert taken.multipart_id == "first"
    assert await ledger.attach_multipart(session.upload_id, 2, "second") == "first"


async def test_two_holders_of_different_epochs_never_both_write(ledger: SqlUploadLedger) -> None:
    """Taking over and recording at the same moment: the old holder's part is in before the take, or not at all."""
    for _ in range(15):
        session = await open_session(ledger)
        upload_id = session.upload_id
        recorded, taken = await asyncio.gather(
            ledger.record_parts(upload_id, 1, 0, parts(1, 1), b"old"),
            ledger.take("alice", upload_id),
            return_exceptions=True,
        )
        assert isinstance(taken, UploadSession)
        if isinstance(recorded, BaseException):
            assert isinstance(recorded, UploadSuperseded)
            assert (taken.persisted_size, taken.sha_state) == (0, None)
            assert await ledger.parts(upload_id) == []
        else:
            assert (taken.persisted_size, taken.sha_state) == (PART_SIZE, b"old")


async def test_one_of_many_holders_wins_each_step(ledger: SqlUploadLedger) -> None:
    """20 writes of the same part at the same epoch: exactly one is recorded."""
    session = await open_session(ledger)
    outcomes = await asyncio.gather(
        *(ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None) for _ in range(20)),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(one, UploadSuperseded) for one in outcomes) == 19
    assert (await ledger.get("alice", session.upload_id)).persisted_size == PART_SIZE


async def test_taking_at_the_same_moment_gives_everyone_an_epoch_of_its_own(ledger: SqlUploadLedger) -> None:
    """No two streams ever hold the same epoch."""
    session = await open_session(ledger, epoch=0)
    taken = await asyncio.gather(*(ledger.take("alice", session.upload_id) for _ in range(20)))
    assert sorted(one.epoch for one in taken) == list(range(1, 21))


async def test_an_ended_session_refuses_every_write_by_its_state(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """The holder is told what became of the session, and taking it over returns it unchanged."""
    committing = await open_session(ledger)
    await ledger.begin_commit(committing.upload_id, 1, 0, single_put(committing, b"a"))
    committed = await open_session(ledger)
    await ledger.begin_commit(committed.upload_id, 1, 0, single_put(committed, b"b"))
    await ledger.publish(committed.upload_id, digest(b"b"))
    cancelled = await open_session(ledger)
    await ledger.cancel(caller(), cancelled.upload_id)
    failed = await open_session(ledger)
    await ledger.fail(failed.upload_id, ChecksumMismatch("wrong bytes"), epoch=1)
    expired = await open_session(ledger, lifetime=-1.0)
    await maintenance.expire_due(limit=10)
    expected: dict[str, type[LedgerLiftError]] = {
        committing.upload_id: UploadCommitting,
        committed.upload_id: UploadAlreadyCommitted,
        cancelled.upload_id: UploadCancelled,
        failed.upload_id: ChecksumMismatch,
        expired.upload_id: UploadExpired,
    }
    for upload_id, refusal in expected.items():
        before = await ledger.get("alice", upload_id)
        with pytest.raises(refusal):
            await ledger.record_parts(upload_id, 1, before.persisted_size, parts(1, 1), None)
        with pytest.raises(refusal):
            await ledger.attach_multipart(upload_id, 1, "late")
        with pytest.raises(refusal):
            await ledger.begin_commit(upload_id, 1, before.persisted_size, single_put(before, b"late"))
        with pytest.raises(refusal):
            await ledger.commit_put(upload_id, 1, single_put(before, b"late"))
        assert await ledger.take("alice", upload_id) == before
        assert await ledger.get("alice", upload_id) == before


async def test_entering_the_commit_writes_plan_and_tail_at_once(ledger: SqlUploadLedger) -> None:
    """COMMITTING holds all that the janitor needs to drive the commit on, and the digest that was declared last."""
    session = await open_session(ledger)
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 2), b"state")
    plan = _whole_plan(session, 2 * PART_SIZE, tail=10)
    await ledger.begin_commit(session.upload_id, 1, 2 * PART_SIZE, plan)
    now = await ledger.get("alice", session.upload_id)
    assert (now.state, now.persisted_size, now.part_count) == (UploadState.COMMITTING, 2 * PART_SIZE + 10, 3)
    assert (now.final_size, now.final_sha256, now.final_object) == (plan.size, None, session.object_name)
    assert (now.receipt, now.spec.sha256) == (plan.receipt, digest(b"declared"))
    assert list(await ledger.parts(session.upload_id)) == [*parts(1, 2), *parts(3, 1, 10)]


async def test_one_of_many_commits_enters(ledger: SqlUploadLedger) -> None:
    """20 at once: one is COMMITTING, the others are told that it is."""
    session = await open_session(ledger)
    plan = single_put(session, b"data")
    outcomes = await asyncio.gather(
        *(ledger.begin_commit(session.upload_id, 1, 0, plan) for _ in range(20)), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(one, UploadCommitting) for one in outcomes) == 19


async def test_an_unknown_session_is_not_found(ledger: SqlUploadLedger) -> None:
    """So is another owner's, for every question that names an owner."""
    session = await open_session(ledger, "alice")
    for owner, upload_id in (("alice", "nowhere"), ("bob", session.upload_id)):
        with pytest.raises(UploadNotFound):
            await ledger.get(owner, upload_id)
        with pytest.raises(UploadNotFound):
            await ledger.get_with_document(owner, upload_id)
        with pytest.raises(UploadNotFound):
            await ledger.take(owner, upload_id)
        with pytest.raises(UploadNotFound):
            await ledger.cancel(caller(owner), upload_id)
    with pytest.raises(UploadNotFound):
        await ledger.record_parts("nowhere", 1, 0, parts(1, 1), None)
    assert await ledger.get("alice", session.upload_id) == session


async def test_the_pulse_of_many_sessions_is_one_question(ledger: SqlUploadLedger) -> None:
    """Epoch, state and durable size of each; unknown ids are left out, and no ids are no question."""
    first, second = await open_session(ledger), await open_session(ledger, "bob")
    await ledger.record_parts(first.upload_id, 1, 0, parts(1, 1), None)
    await ledger.cancel(caller("bob"), second.upload_id)
    pulse = await ledger.pulse([first.upload_id, second.upload_id, "nowhere"])
    assert {key: (one.epoch, one.state, one.persisted_size) for key, one in pulse.items()} == {
        first.upload_id: (1, UploadState.ACTIVE, PART_SIZE),
        second.upload_id: (2, UploadState.CANCELLED, 0),
    }
    assert await ledger.pulse([]) == {}
