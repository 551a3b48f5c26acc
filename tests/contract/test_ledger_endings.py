"""How sessions end without a document, and how they are listed."""

from __future__ import annotations

import asyncio

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import EventFilter, EventType
from ledgerlift_server.domain.session_rules import recorded_failure
from ledgerlift_server.domain.upload_models import UploadFilter, UploadState
from ledgerlift_server.errors import (
    ChecksumMismatch,
    InvalidRequest,
    Resource,
    SizeMismatch,
    UploadAlreadyCommitted,
    UploadCommitting,
    UploadSuperseded,
)

from tests.support.uploads import (
    caller,
    committing_session,
    digest,
    open_session,
    parts,
    publish,
    single_put,
)


async def test_a_failed_session_keeps_why(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance
) -> None:
    """Reason, message and resource are enough to tell a later caller the same."""
    session = await open_session(ledger)
    error = ChecksumMismatch("the digest is another", resource=Resource("document", "doc-1"))
    failed = await ledger.fail(session.upload_id, error, epoch=1)
    assert (failed.state, failed.error_reason, failed.error_message) == (
        UploadState.FAILED,
        "CHECKSUM_MISMATCH",
        "the digest is another",
    )
    rebuilt = recorded_failure(await ledger.get("alice", session.upload_id))
    assert isinstance(rebuilt, ChecksumMismatch)
    assert (rebuilt.message, rebuilt.resource) == (error.message, error.resource)
    (event,) = await documents.events_after("alice", EventFilter(), "", limit=10)
    assert (event.type, event.upload_id, event.document_id) == (EventType.UPLOAD_FAILED, session.upload_id, None)
    assert event.detail["reason"] == "CHECKSUM_MISMATCH"
    (removal,) = await maintenance.due_removals(limit=10)
    assert (removal.object_name, removal.multipart_id, removal.attempts) == (session.put_name(1), None, 0)


async def test_failing_again_changes_nothing(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """The first reason stays, and there is one event."""
    session = await open_session(ledger)
    first = await ledger.fail(session.upload_id, ChecksumMismatch("first"), epoch=1)
    assert await ledger.fail(session.upload_id, SizeMismatch("second"), epoch=1) == first
    assert await ledger.fail(session.upload_id, SizeMismatch("third"), epoch=None) == first
    published = await publish(ledger, b"data")
    assert await ledger.fail(published.session.upload_id, SizeMismatch("late"), epoch=1) == published.session
    assert len(await documents.events_after("alice", EventFilter(), "", limit=10)) == 2


async def test_only_the_holder_fails_an_active_session(ledger: SqlUploadLedger) -> None:
    """Neither an older epoch nor the janitor; and nobody's stream fails a commit."""
    session = await open_session(ledger)
    await ledger.take("alice", session.upload_id)
    for epoch in (1, None):
        with pytest.raises(UploadSuperseded):
            await ledger.fail(session.upload_id, ChecksumMismatch("late"), epoch=epoch)
    committing = await committing_session(ledger, b"data")
    with pytest.raises(UploadCommitting):
        await ledger.fail(committing.upload_id, ChecksumMismatch("late"), epoch=1)


async def test_a_cancelled_session_fences_its_stream_off(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance
) -> None:
    """The epoch rises, what the stream left is queued, the event says who cancelled; a repeat changes nothing."""
    session = await open_session(ledger)
    await ledger.attach_multipart(session.upload_id, 1, "mp")
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), b"state")
    me = caller()
    cancelled = await ledger.cancel(me, session.upload_id)
    assert (cancelled.state, cancelled.epoch) == (UploadState.CANCELLED, 2)
    assert await ledger.cancel(caller(), session.upload_id) == cancelled
    (event,) = await documents.events_after("alice", EventFilter(), "", limit=10)
    assert (event.type, event.actor, event.request_id) == (EventType.UPLOAD_CANCELLED, "alice", me.request_id)
    assert event.detail == {"persisted_size": "64"}
    (removal,) = await maintenance.due_removals(limit=10)
    assert (removal.object_name, removal.multipart_id) == (session.object_name, "mp")


async def test_cancelling_removes_what_each_holder_may_have_put(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """One entry for each epoch that somebody held, and none for the fence."""
    session = await open_session(ledger)
    await ledger.take("alice", session.upload_id)
    await ledger.cancel(caller(), session.upload_id)
    queued = [one.object_name for one in await maintenance.due_removals(limit=10)]
    assert sorted(queued) == [session.put_name(1), session.put_name(2)]
    await ledger.cancel(caller(), (await open_session(ledger, epoch=0)).upload_id)
    assert len(await maintenance.due_removals(limit=10)) == 2


async def test_what_is_committing_cannot_be_cancelled(ledger: SqlUploadLedger) -> None:
    """Neither can what is committed; a failed session comes back as it is."""
    committing = await committing_session(ledger, b"data")
    committed = (await publish(ledger, b"other")).session
    for session in (committing, committed):
        with pytest.raises(UploadAlreadyCommitted):
            await ledger.cancel(caller(), session.upload_id)
        assert await ledger.get("alice", session.upload_id) == session
    failed = await ledger.fail((await open_session(ledger)).upload_id, ChecksumMismatch("x"), epoch=1)
    assert await ledger.cancel(caller(), failed.upload_id) == failed


async def test_cancel_and_commit_at_the_same_moment(ledger: SqlUploadLedger) -> None:
    """One of the two wins, and the session is what the winner made it."""
    for _ in range(15):
        session = await open_session(ledger)
        cancelled, committed = await asyncio.gather(
            ledger.cancel(caller(), session.upload_id),
            ledger.begin_commit(session.upload_id, 1, 0, single_put(session, b"data")),
            return_exceptions=True,
        )
        state = (await ledger.get("alice", session.upload_id)).state
        if isinstance(cancelled, BaseException):
            assert isinstance(cancelled, UploadAlreadyCommitted)
            assert (committed, state) == (None, UploadState.COMMITTING)
        else:
            assert isinstance(committed, BaseException)
            assert state is UploadState.CANCELLED


async def test_sessions_are_listed_newest_first_page_by_page(ledger: SqlUploadLedger) -> None:
    """Every session once, none of anybody else's, and no token behind the last page."""
    made = [(await open_session(ledger, request_id=f"r-{number}")).upload_id for number in range(7)]
    await open_session(ledger, "bob")
    seen: list[str] = []
    token = ""
    for expected in (3, 3, 1):
        page = await ledger.list("alice", UploadFilter(), page_size=3, page_token=token)
        assert len(page.items) == expected
        seen += [session.upload_id for session in page.items]
        token = page.next_token
    assert (seen, token) == (made[::-1], "")
    exact = await ledger.list("alice", UploadFilter(), page_size=7, page_token="")
    assert (len(exact.items), exact.next_token) == (7, "")


async def test_sessions_are_filtered_by_request_id_and_state(ledger: SqlUploadLedger) -> None:
    """Both together; a request id lists its dead sessions too."""
    first = await open_session(ledger, request_id="r-1")
    await ledger.cancel(caller(), first.upload_id)
    second = await open_session(ledger, request_id="r-1")
    third = await open_session(ledger)

    async def listed(where: UploadFilter) -> list[str]:
        page = await ledger.list("alice", where, page_size=10, page_token="")
        return [session.upload_id for session in page.items]

    assert await listed(UploadFilter(request_id="r-1")) == [second.upload_id, first.upload_id]
    assert await listed(UploadFilter(state=UploadState.ACTIVE)) == [third.upload_id, second.upload_id]
    assert await listed(UploadFilter("r-1", UploadState.CANCELLED)) == [first.upload_id]
    assert await listed(UploadFilter(request_id="r-2")) == []


async def test_a_page_token_of_other_filters_is_refused(ledger: SqlUploadLedger) -> None:
    """Neither another owner's nor another filter's token is taken, nor one that was made up."""
    for _ in range(2):
        await open_session(ledger)
    token = (await ledger.list("alice", UploadFilter(), page_size=1, page_token="")).next_token
    assert token
    for owner, where, given in (
        ("bob", UploadFilter(), token),
        ("alice", UploadFilter(state=UploadState.ACTIVE), token),
        ("alice", UploadFilter(), "made-up"),
        ("alice", UploadFilter(), token[:-2]),
        ("alice", UploadFilter(), "\x00"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await ledger.list(owner, where, page_size=1, page_token=given)
        assert refused.value.violations[0].field == "page_token"


async def test_published_bytes_and_receipts_survive_a_reading(ledger: SqlUploadLedger) -> None:
    """What a replay is answered with is what the first caller got."""
    published = await publish(ledger, b"data", request_id="r-1")
    session, document = await ledger.get_with_document("alice", published.session.upload_id)
    assert (session, document) == (published.session, published.document)
    assert (session.receipt.bytes_received, session.receipt.sha256) == (4, digest(b"data"))
