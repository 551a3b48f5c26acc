"""Opening sessions: request ids, and bytes that the owner has already."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import EventFilter, EventType
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadFilter, UploadState
from ledgerlift_server.errors import ChecksumMismatch, DuplicateDocument, KeyTaken

from tests.support.databases import Sql
from tests.support.uploads import (
    caller,
    committing_session,
    digest,
    new_session,
    open_session,
    publish,
    single_put,
)


async def test_a_new_session_is_active_and_holds_what_was_declared(ledger: SqlUploadLedger) -> None:
    """Everything that the uploader said comes back, and its lifetime runs by the database's clock."""
    new = new_session(
        filename="Übung \u2013 1.txt",
        size=2**40,
        sha256=digest(b"x"),
        key="k/1",
        metadata={"a": "1", "ü": "\u4e2d"},
        duplicate_policy=DuplicatePolicy.REJECT,
        request_id="r-1",
        lifetime=600.0,
        epoch=1,
    )
    opened = await ledger.open(new, caller())
    session = opened.session
    assert (opened.created, opened.document) == (True, None)
    assert (session.spec, session.state, session.epoch) == (new.spec, UploadState.ACTIVE, 1)
    assert (session.persisted_size, session.part_count, session.sha_state) == (0, 0, None)
    assert (session.object_name, session.part_size) == (new.object_name, new.part_size)
    assert session.create_time.utcoffset() == timedelta(0)
    assert abs(session.expire_time - session.create_time - timedelta(seconds=600)) < timedelta(seconds=1)
    assert await ledger.get("alice", session.upload_id) == session


@pytest.mark.parametrize("state", [UploadState.ACTIVE, UploadState.COMMITTING, UploadState.COMMITTED])
async def test_a_live_request_id_finds_its_session(ledger: SqlUploadLedger, state: UploadState) -> None:
    """The second open attaches to the first session, whatever it declares, and makes nothing."""
    session = await open_session(ledger, request_id="r-1")
    if state is not UploadState.ACTIVE:
        await ledger.begin_commit(session.upload_id, 1, 0, single_put(session, b"data"))
    if state is UploadState.COMMITTED:
        await ledger.publish(session.upload_id, digest(b"data"))
    again = await ledger.open(new_session(filename="other", request_id="r-1"), caller())
    assert (again.created, again.session.upload_id, again.session.state) == (False, session.upload_id, state)
    assert (again.document is not None) == (state is UploadState.COMMITTED)
    page = await ledger.list("alice", UploadFilter(), page_size=10, page_token="")
    assert [item.upload_id for item in page.items] == [session.upload_id]


async def test_a_committed_request_id_outlives_its_document(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """The session is found, and says that its document is no longer there."""
    published = await publish(ledger, b"data", request_id="r-1")
    await documents.delete(caller(), published.document.document_id)
    again = await ledger.open(new_session(request_id="r-1"), caller())
    assert (again.created, again.document) == (False, None)
    assert again.session.document_id == published.document.document_id
    assert await ledger.get_with_document("alice", again.session.upload_id) == (again.session, None)


@pytest.mark.parametrize("state", [UploadState.FAILED, UploadState.CANCELLED, UploadState.EXPIRED])
async def test_the_request_id_of_a_session_that_came_to_nothing_is_free(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance, state: UploadState
) -> None:
    """The same id opens a fresh session."""
    first = await open_session(ledger, request_id="r-1", lifetime=-1.0)
    if state is UploadState.FAILED:
        await ledger.fail(first.upload_id, ChecksumMismatch("wrong"), epoch=1)
    elif state is UploadState.CANCELLED:
        await ledger.cancel(caller(), first.upload_id)
    else:
        assert await maintenance.expire_due(limit=10) == 1
    again = await ledger.open(new_session(request_id="r-1"), caller())
    assert again.created
    assert again.session.upload_id != first.upload_id
    assert (await ledger.get("alice", first.upload_id)).state is state


async def test_request_ids_are_each_owners_own(ledger: SqlUploadLedger) -> None:
    """Two owners with one request id have a session each; without one every open is new."""
    opened = [
        await ledger.open(new_session("alice", request_id="r-1"), caller("alice")),
        await ledger.open(new_session("bob", request_id="r-1"), caller("bob")),
        await ledger.open(new_session("alice"), caller("alice")),
        await ledger.open(new_session("alice"), caller("alice")),
    ]
    assert all(one.created for one in opened)


async def test_many_callers_with_one_request_id_get_one_session(ledger: SqlUploadLedger) -> None:
    """However close together they come."""
    opened = await asyncio.gather(*(ledger.open(new_session(request_id="r-1"), caller()) for _ in range(20)))
    assert len({one.session.upload_id for one in opened}) == 1
    assert sum(one.created for one in opened) == 1
    page = await ledger.list("alice", UploadFilter(request_id="r-1"), page_size=50, page_token="")
    assert len(page.items) == 1


async def test_known_bytes_are_answered_before_they_are_sent(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """RETURN_EXISTING: the session is born COMMITTED with the existing document; no event, no new document."""
    first = await publish(ledger, b"data", filename="first")
    opened = await ledger.open(
        new_session(filename="second", size=4, sha256=digest(b"data"), request_id="r-2"), caller()
    )
    assert (opened.created, opened.document) == (True, first.document)
    session = opened.session
    assert (session.state, session.duplicate, session.document_id) == (
        UploadState.COMMITTED,
        True,
        first.document.document_id,
    )
    assert (session.final_size, session.final_sha256, session.persisted_size) == (4, digest(b"data"), 4)
    trail = await documents.events_after("alice", EventFilter(), "", limit=10)
    assert [event.type for event in trail] == [EventType.DOCUMENT_CREATED]
    replay = await ledger.open(new_session(request_id="r-2"), caller())
    assert (replay.created, replay.session, replay.document) == (False, session, first.document)


async def test_known_bytes_become_a_new_document_on_the_same_object(
    ledger: SqlUploadLedger, documents: SqlDocuments, sql: Sql
) -> None:
    """CREATE_NEW: a document and an event of its own, the object counted twice."""
    first = await publish(ledger, b"data")
    me = caller()
    opened = await ledger.open(
        new_session(filename="second", size=4, sha256=digest(b"data"), duplicate_policy=DuplicatePolicy.CREATE_NEW),
        me,
    )
    assert opened.document is not None
    assert opened.document.document_id not in (first.document.document_id, "")
    assert (opened.document.filename, opened.document.object_name) == ("second", first.document.object_name)
    assert (opened.session.state, opened.session.duplicate) == (UploadState.COMMITTED, False)
    assert sql("SELECT documents FROM blobs") == [{"documents": 2}]
    event = (await documents.events_after("alice", EventFilter(), "", limit=10))[-1]
    assert (event.type, event.document_id, event.upload_id, event.request_id) == (
        EventType.DOCUMENT_CREATED,
        opened.document.document_id,
        opened.session.upload_id,
        me.request_id,
    )


async def test_refusals_up_front_make_no_session(ledger: SqlUploadLedger) -> None:
    """REJECT of known bytes and a key of other bytes are refused with the document that stands in the way."""
    first = await publish(ledger, b"data", key="k")
    with pytest.raises(DuplicateDocument) as duplicate:
        await ledger.open(
            new_session(size=4, sha256=digest(b"data"), duplicate_policy=DuplicatePolicy.REJECT), caller()
        )
    with pytest.raises(KeyTaken) as taken:
        await ledger.open(new_session(size=5, key="k"), caller())
    for refused in (duplicate, taken):
        assert refused.value.resource is not None
        assert refused.value.resource.id == first.document.document_id
    page = await ledger.list("alice", UploadFilter(), page_size=10, page_token="")
    assert [session.upload_id for session in page.items] == [first.session.upload_id]


@pytest.mark.parametrize(
    "declared", [{"sha256": digest(b"data")}, {"sha256": digest(b"data"), "size": 5}, {"size": 4}]
)
async def test_nothing_is_answered_on_trust(ledger: SqlUploadLedger, declared: dict[str, Any]) -> None:
    """Without the right size and the digest, the bytes are to be sent."""
    await publish(ledger, b"data")
    opened = await ledger.open(new_session(**declared), caller())
    assert (opened.session.state, opened.document) == (UploadState.ACTIVE, None)


async def test_another_owners_bytes_are_unknown(ledger: SqlUploadLedger) -> None:
    """Neither the digest nor the key of another owner has any effect."""
    await publish(ledger, b"data", "alice", key="k")
    opened = await ledger.open(new_session("bob", size=4, sha256=digest(b"data"), key="k"), caller("bob"))
    assert opened.session.state is UploadState.ACTIVE


async def test_concurrent_opens_of_known_bytes_count_right(
    ledger: SqlUploadLedger, documents: SqlDocuments, sql: Sql
) -> None:
    """20 CREATE_NEW at once: 20 documents more, counted one by one."""
    first = await publish(ledger, b"data")
    opened = await asyncio.gather(
        *(
            ledger.open(
                new_session(size=4, sha256=digest(b"data"), duplicate_policy=DuplicatePolicy.CREATE_NEW),
                caller(),
            )
            for _ in range(20)
        )
    )
    made = {one.document.document_id for one in opened if one.document}
    assert len(made) == 20
    assert sql("SELECT documents FROM blobs") == [{"documents": 21}]
    stats = await documents.stats("alice")
    assert (stats.total.documents, stats.objects, stats.stored_size) == (21, 1, 4)
    assert first.document.document_id not in made


async def test_a_key_is_given_once_however_many_ask_at_once(ledger: SqlUploadLedger, sql: Sql) -> None:
    """20 CREATE_NEW under one key on known bytes: one document gets it, the others are told who has it."""
    await publish(ledger, b"data")
    outcomes = await asyncio.gather(
        *(
            ledger.open(
                new_session(size=4, sha256=digest(b"data"), key="k", duplicate_policy=DuplicatePolicy.CREATE_NEW),
                caller(),
            )
            for _ in range(20)
        ),
        return_exceptions=True,
    )
    refused = [one for one in outcomes if isinstance(one, KeyTaken)]
    assert len(refused) == 19, outcomes
    assert sql("SELECT count(*) AS n FROM documents WHERE key = 'k'") == [{"n": 1}]


async def test_a_session_about_to_commit_is_not_opened_twice(ledger: SqlUploadLedger) -> None:
    """A COMMITTING session keeps its request id, so that the caller can wait for its result."""
    session = await committing_session(ledger, b"data", request_id="r-1")
    again = await ledger.open(new_session(request_id="r-1"), caller())
    assert (again.created, again.session) == (False, session)
