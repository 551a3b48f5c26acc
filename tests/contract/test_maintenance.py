"""What the janitor works with: leases, idle commits, expiry, the outbox, what the store may keep."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import Count, DocumentFilter, EventFilter, EventType
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadSession, UploadState
from ledgerlift_server.errors import ChecksumMismatch, UploadNotFound

from tests.support.databases import Sql
from tests.support.uploads import (
    DAY,
    caller,
    committing_session,
    digest,
    new_session,
    open_session,
    parts,
    publish,
)


async def test_a_lease_has_one_holder(maintenance: SqlMaintenance) -> None:
    """Twenty ask, one gets it, renews it, and gives it back; then another may."""
    answers = await asyncio.gather(
        *(maintenance.acquire_lease("janitor", f"replica-{number}", 60.0) for number in range(20))
    )
    assert answers.count(True) == 1
    holder = f"replica-{answers.index(True)}"
    assert await maintenance.acquire_lease("janitor", holder, 60.0)
    assert not await maintenance.acquire_lease("janitor", "other", 60.0)
    assert await maintenance.acquire_lease("another-lease", "other", 60.0)
    named = await maintenance.lease_holder("janitor")
    assert named is not None
    assert (named[0], named[1] > datetime.now(UTC)) == (holder, True)
    await maintenance.release_lease("janitor", "other")
    assert not await maintenance.acquire_lease("janitor", "other", 60.0)
    await maintenance.release_lease("janitor", holder)
    assert await maintenance.lease_holder("janitor") is None
    assert await maintenance.acquire_lease("janitor", "other", 60.0)


async def test_a_lease_that_ran_out_is_anybodys(maintenance: SqlMaintenance) -> None:
    """A replica that died keeps nobody from the work for longer than its lease."""
    assert await maintenance.acquire_lease("janitor", "dead", -1.0)
    assert await maintenance.lease_holder("janitor") is None
    assert await maintenance.acquire_lease("janitor", "other", 60.0)
    assert not await maintenance.acquire_lease("janitor", "dead", 60.0)


async def test_commits_that_lie_still_are_found(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """Oldest first, of every owner, and none that has just begun or has ended."""
    first = await committing_session(ledger, b"1", "alice")
    second = await committing_session(ledger, b"2", "bob")
    await publish(ledger, b"3")
    await open_session(ledger)
    assert await maintenance.committing(idle=60.0, limit=10) == []
    assert await maintenance.committing(idle=-60.0, limit=10) == [first, second]
    assert await maintenance.committing(idle=-60.0, limit=1) == [first]


async def test_sessions_past_their_time_expire(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance
) -> None:
    """ACTIVE ones only, at most the limit at a time, with their event and their removals."""
    due = [await open_session(ledger, lifetime=-1.0) for _ in range(3)]
    alive = await open_session(ledger)
    committing = await committing_session(ledger, b"data", lifetime=-1.0)
    assert [await maintenance.expire_due(limit=2) for _ in range(3)] == [2, 1, 0]
    for session in due:
        expired = await ledger.get("alice", session.upload_id)
        assert (expired.state, expired.epoch) == (UploadState.EXPIRED, 1)
        (event,) = await documents.events_after("alice", EventFilter(upload_id=session.upload_id), "", limit=10)
        assert (event.type, event.actor) == (EventType.UPLOAD_EXPIRED, "janitor")
    assert (await ledger.get("alice", alive.upload_id)).state is UploadState.ACTIVE
    assert (await ledger.get("alice", committing.upload_id)).state is UploadState.COMMITTING
    queued = {one.object_name for one in await maintenance.due_removals(limit=10)}
    assert queued == {session.put_name(1) for session in due}


async def test_a_session_that_is_written_to_does_not_expire(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """Each stored part renews its time, by the lifetime that it was opened with."""
    session = await open_session(ledger)
    sql("UPDATE sessions SET expire_time = create_time")
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None)
    assert await maintenance.expire_due(limit=10) == 0
    sql("UPDATE sessions SET expire_time = create_time")
    await ledger.take("alice", session.upload_id)
    assert await maintenance.expire_due(limit=10) == 0


async def test_expiry_and_a_write_at_the_same_moment(ledger: SqlUploadLedger, maintenance: SqlMaintenance) -> None:
    """Whichever comes first, the session and its parts agree."""
    for _ in range(10):
        session = await open_session(ledger, lifetime=-1.0)
        recorded, _ = await asyncio.gather(
            ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None),
            maintenance.expire_due(limit=10),
            return_exceptions=True,
        )
        now = await ledger.get("alice", session.upload_id)
        assert len(await ledger.parts(session.upload_id)) == now.part_count == (0 if recorded else 1)
        await maintenance.expire_due(limit=10)


async def test_the_outbox_gives_out_what_is_due(maintenance: SqlMaintenance) -> None:
    """Oldest first; a failure postpones its entry and counts; done is forgotten."""
    await maintenance.queue_removal("a", None)
    await maintenance.queue_removal("b", "mp")
    await maintenance.queue_removal("c", None)
    first, second, third = await maintenance.due_removals(limit=10)
    assert [(one.object_name, one.multipart_id, one.attempts) for one in (first, second, third)] == [
        ("a", None, 0),
        ("b", "mp", 0),
        ("c", None, 0),
    ]
    await maintenance.removal_done(first.removal_id)
    await maintenance.removal_done(first.removal_id)
    await maintenance.removal_failed(second.removal_id, retry_after=60.0)
    assert await maintenance.due_removals(limit=10) == [third]
    assert [await maintenance.count_removals(limit=limit) for limit in (10, 1)] == [2, 1], (
        "those put off wait as well"
    )
    await maintenance.removal_failed(second.removal_id, retry_after=-60.0)
    postponed = (await maintenance.due_removals(limit=1))[0]
    assert (postponed.removal_id, postponed.attempts) == (second.removal_id, 2)


async def test_the_store_keeps_what_something_stands_for(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance
) -> None:
    """Blobs, unfinished sessions with every name of their epochs, and the outbox; nothing else."""
    published = await publish(ledger, b"data")
    active = await open_session(ledger)
    active = await ledger.take("alice", active.upload_id)
    committing = await committing_session(ledger, b"other")
    ended = await open_session(ledger)
    await ledger.cancel(caller(), ended.upload_id)
    for removal in await maintenance.due_removals(limit=10):
        await maintenance.removal_done(removal.removal_id)
    await maintenance.queue_removal("queued", None)
    known = {
        published.document.object_name,
        active.object_name,
        active.put_name(1),
        active.put_name(2),
        committing.object_name,
        committing.put_name(1),
        "queued",
    }
    unknown = {
        published.session.object_name,
        active.put_name(3),
        active.put_name(0),
        f"{active.object_name}.x",
        f"{active.object_name}.\u0661",
        ended.object_name,
        ended.put_name(1),
        "nowhere",
        ".1",
    }
    assert set(await maintenance.known_objects(known | unknown)) == known
    assert set(await maintenance.known_objects([])) == set()


async def test_the_store_keeps_multiparts_of_unfinished_sessions(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """The recorded one; any, while none is recorded; and what the outbox still has to abort."""

    async def attached(multipart_id: str | None) -> UploadSession:
        session = await open_session(ledger)
        if multipart_id is not None:
            await ledger.attach_multipart(session.upload_id, 1, multipart_id)
        return session

    recorded, undecided, ended = await attached("mp-1"), await attached(None), await attached("mp-3")
    await ledger.fail(ended.upload_id, ChecksumMismatch("x"), epoch=1)
    known = {
        (recorded.object_name, "mp-1"),
        (undecided.object_name, "any"),
        (ended.object_name, "mp-3"),
    }
    unknown = {(recorded.object_name, "mp-2"), (ended.object_name, "mp-4"), ("nowhere", "mp-1")}
    assert set(await maintenance.known_multiparts(known | unknown)) == known
    for removal in await maintenance.due_removals(limit=10):
        await maintenance.removal_done(removal.removal_id)
    assert set(await maintenance.known_multiparts(known)) == known - {(ended.object_name, "mp-3")}


async def test_blobs_are_walked_in_order_of_their_objects(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """Over all owners, page by page, with their sizes."""
    made = sorted(
        [
            ((await publish(ledger, data, owner)).document.object_name, len(data))
            for owner in ("alice", "bob")
            for data in (b"1", b"22", b"333")
        ]
    )
    walked: list[tuple[str, int]] = []
    after = None
    while found := await maintenance.blob_objects(after=after, limit=4):
        walked += found
        after = found[-1][0]
    assert walked == made


async def test_ended_sessions_are_forgotten_and_nothing_else(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """With their parts; documents, the trail and unfinished sessions stay."""
    published = await publish(ledger, b"data", request_id="r-1")
    cancelled = await open_session(ledger)
    await ledger.record_parts(cancelled.upload_id, 1, 0, parts(1, 3), None)
    await ledger.cancel(caller(), cancelled.upload_id)
    active = await open_session(ledger)
    await ledger.record_parts(active.upload_id, 1, 0, parts(1, 2), None)
    committing = await committing_session(ledger, b"other")
    assert await maintenance.forget_ended(older_than=DAY, limit=10) == 0
    assert [await maintenance.forget_ended(older_than=-DAY, limit=1) for _ in range(3)] == [1, 1, 0]
    for session in (published.session, cancelled):
        with pytest.raises(UploadNotFound):
            await ledger.get("alice", session.upload_id)
    assert (await ledger.get("alice", active.upload_id)).part_count == 2
    assert (await ledger.get("alice", committing.upload_id)) == committing
    assert sql("SELECT DISTINCT upload_id FROM parts") == [{"upload_id": active.upload_id}]
    page = await documents.list("alice", DocumentFilter(), page_size=10, page_token="")
    assert page.items == (published.document,)
    trail = await documents.events_after("alice", EventFilter(), "", limit=10)
    assert [event.type for event in trail] == [EventType.DOCUMENT_CREATED, EventType.UPLOAD_CANCELLED]
    again = await ledger.open(new_session(request_id="r-1", sha256=digest(b"data"), size=4), caller())
    assert (again.created, again.document) == (True, published.document)


async def test_documents_of_all_owners_are_counted(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance
) -> None:
    """Also those that share an object, each with its size; what is deleted or unfinished does not count."""
    assert await maintenance.count_documents() == Count(0, 0)
    first = (await publish(ledger, b"four", "alice")).document
    await publish(ledger, b"four", "alice", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    await publish(ledger, b"four", "bob")
    await publish(ledger, b"", "bob")
    await committing_session(ledger, b"unfinished", "bob")
    assert await maintenance.count_documents() == Count(4, 12)
    await documents.delete(caller(), first.document_id)
    assert await maintenance.count_documents() == Count(3, 8)
