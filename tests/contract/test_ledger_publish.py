"""From COMMITTING to a document: exactly once, under every duplicate policy, however many at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import DocumentFilter, EventFilter, EventType, ProcessingStatus
from ledgerlift_server.domain.session_rules import recorded_failure
from ledgerlift_server.domain.upload_models import CommitPlan, DuplicatePolicy, Published, Receipt, UploadState
from ledgerlift_server.errors import (
    Conflict,
    DocumentNotFound,
    DuplicateDocument,
    KeyTaken,
    StoredObjectCorrupt,
    UploadCancelled,
    UploadNotFound,
    UploadSuperseded,
)

from tests.support.databases import Sql
from tests.support.uploads import (
    PART_SIZE,
    caller,
    committing_session,
    digest,
    new_session,
    open_session,
    parts,
    publish,
    single_put,
)

MANY = 20


async def _removals(maintenance: SqlMaintenance) -> set[tuple[str, str | None]]:
    return {(one.object_name, one.multipart_id) for one in await maintenance.due_removals(limit=1000)}


async def test_a_document_appears_with_its_event_and_its_session(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """All that the uploader said stands in the document; nothing is left to remove."""
    me = caller()
    new = new_session(filename="a.txt", key="k", metadata={"a": "1"}, size=4)
    session = (await ledger.open(new, me)).session
    await ledger.begin_commit(session.upload_id, 1, 0, single_put(session, b"data"))
    published = await ledger.publish(session.upload_id, digest(b"data"))
    document = published.document
    assert (document.filename, document.key, document.metadata) == ("a.txt", "k", {"a": "1"})
    assert (document.size, document.sha256, document.status) == (4, digest(b"data"), ProcessingStatus.UPLOADED)
    assert (document.owner, document.object_name) == ("alice", session.put_name(1))
    assert (published.session.state, published.session.document_id, published.session.duplicate) == (
        UploadState.COMMITTED,
        document.document_id,
        False,
    )
    assert await documents.get("alice", document.document_id) == document
    assert await ledger.get_with_document("alice", session.upload_id) == (published.session, document)
    assert sql("SELECT owner, sha256, object_name, size, documents FROM blobs") == [
        {"owner": "alice", "sha256": document.sha256, "object_name": session.put_name(1), "size": 4, "documents": 1}
    ]
    (event,) = await documents.events_after("alice", EventFilter(), "", limit=10)
    assert (event.type, event.actor, event.request_id, event.document_id, event.upload_id) == (
        EventType.DOCUMENT_CREATED,
        "alice",
        me.request_id,
        document.document_id,
        session.upload_id,
    )
    assert await _removals(maintenance) == set()


async def test_a_digest_found_by_reading_back_enters_session_and_receipt(ledger: SqlUploadLedger) -> None:
    """Where the hash state was lost, the digest is only known now."""
    session = await open_session(ledger)
    await ledger.attach_multipart(session.upload_id, 1, "mp")
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None)
    plan = CommitPlan(PART_SIZE, None, session.object_name, False, (), Receipt(PART_SIZE, 0, 1, ""), None)
    await ledger.begin_commit(session.upload_id, 1, PART_SIZE, plan)
    published = await ledger.publish(session.upload_id, digest(b"read back"))
    assert published.session.final_sha256 == digest(b"read back")
    assert published.session.receipt == replace(plan.receipt, sha256=digest(b"read back"))


async def test_publishing_again_answers_the_same(ledger: SqlUploadLedger, sql: Sql) -> None:
    """20 at once and one later: one document, one event, one count, one answer."""
    session = await committing_session(ledger, b"data")
    outcomes = await asyncio.gather(*(ledger.publish(session.upload_id, digest(b"data")) for _ in range(MANY)))
    outcomes.append(await ledger.publish(session.upload_id, digest(b"data")))
    assert all(one == outcomes[0] for one in outcomes)
    assert sql("SELECT documents FROM blobs") == [{"documents": 1}]
    assert sql("SELECT count(*) AS n FROM events") == [{"n": 1}]


async def test_publishing_again_shares_once(ledger: SqlUploadLedger, sql: Sql) -> None:
    """20 at once on bytes that are there already: one document more, not twenty."""
    await publish(ledger, b"data")
    session = await committing_session(ledger, b"data", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    outcomes = await asyncio.gather(*(ledger.publish(session.upload_id, digest(b"data")) for _ in range(MANY)))
    assert all(one == outcomes[0] for one in outcomes)
    assert sql("SELECT documents FROM blobs") == [{"documents": 2}]
    assert sql("SELECT count(*) AS n FROM documents") == [{"n": 2}]


async def test_only_a_committing_session_is_published(ledger: SqlUploadLedger) -> None:
    """Any other state answers with its own refusal."""
    active = await open_session(ledger)
    with pytest.raises(UploadSuperseded):
        await ledger.publish(active.upload_id, digest(b"data"))
    await ledger.cancel(caller(), active.upload_id)
    with pytest.raises(UploadCancelled):
        await ledger.publish(active.upload_id, digest(b"data"))
    with pytest.raises(UploadNotFound):
        await ledger.publish("nowhere", digest(b"data"))


async def test_a_published_document_that_was_deleted_is_not_made_again(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """A late replay of the commit does not bring it back."""
    published = await publish(ledger, b"data")
    await documents.delete(caller(), published.document.document_id)
    with pytest.raises(DocumentNotFound):
        await ledger.publish(published.session.upload_id, digest(b"data"))


async def test_return_existing_answers_the_oldest_document(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance, documents: SqlDocuments
) -> None:
    """The new bytes go; name, metadata and key of the second upload are ignored."""
    first = await publish(ledger, b"data", filename="first")
    await publish(ledger, b"data", filename="second", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    third = await publish(ledger, b"data", filename="third", key="k")
    assert third.document == first.document
    assert (third.session.state, third.session.duplicate) == (UploadState.COMMITTED, True)
    assert third.session.document_id == first.document.document_id
    assert (third.session.put_name(1), None) in await _removals(maintenance)
    assert (first.session.put_name(1), None) not in await _removals(maintenance)
    trail = await documents.events_after("alice", EventFilter(), "", limit=10)
    assert [event.type for event in trail] == [EventType.DOCUMENT_CREATED] * 2


async def test_create_new_shares_the_stored_object(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """A document of its own on the first object; the second upload's bytes go."""
    first = await publish(ledger, b"data")
    second = await publish(ledger, b"data", filename="second", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    assert second.document.document_id != first.document.document_id
    assert (second.document.filename, second.document.object_name) == ("second", first.document.object_name)
    assert second.session.duplicate is False
    assert await _removals(maintenance) == {(second.session.put_name(1), None)}
    assert sql("SELECT documents FROM blobs") == [{"documents": 2}]


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ({"duplicate_policy": DuplicatePolicy.REJECT}, DuplicateDocument),
        ({"key": "k", "duplicate_policy": DuplicatePolicy.CREATE_NEW}, KeyTaken),
    ],
)
async def test_a_refusal_is_committed_and_repeats_itself(
    ledger: SqlUploadLedger,
    maintenance: SqlMaintenance,
    documents: SqlDocuments,
    declared: dict[str, Any],
    kind: type[Conflict],
) -> None:
    """The session is FAILED with the reason, its bytes go, the trail tells, and later callers hear the same."""
    session = await committing_session(ledger, b"data", request_id="r-2", **declared)
    first = await publish(ledger, b"data", key="k")
    with pytest.raises(kind) as refused:
        await ledger.publish(session.upload_id, digest(b"data"))
    failed = await ledger.get("alice", session.upload_id)
    assert (failed.state, failed.error_reason) == (UploadState.FAILED, kind.reason)
    with pytest.raises(kind) as again:
        await ledger.publish(session.upload_id, digest(b"data"))
    replay = recorded_failure(failed)
    for error in (refused.value, again.value):
        assert (error.message, error.metadata, error.resource) == (replay.message, replay.metadata, replay.resource)
        assert error.resource is not None
        assert error.resource.id == first.document.document_id
    assert await _removals(maintenance) == {(session.put_name(1), None)}
    event = (await documents.events_after("alice", EventFilter(upload_id=session.upload_id), "", limit=10))[-1]
    assert (event.type, event.detail["reason"]) == (EventType.UPLOAD_FAILED, kind.reason)


async def test_a_key_of_other_bytes_is_refused_under_every_policy(ledger: SqlUploadLedger) -> None:
    """The key is looked at before the digest."""
    await publish(ledger, b"data", key="k")
    for policy in DuplicatePolicy:
        with pytest.raises(KeyTaken):
            await publish(ledger, b"other", key="k", duplicate_policy=policy)
    assert (await publish(ledger, b"data", key="k")).session.duplicate


async def test_whatever_earlier_holders_may_have_left_is_queued(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """A single PutObject is named for its epoch: those of fenced holders go, the published one stays."""
    session = await open_session(ledger)
    await ledger.take("alice", session.upload_id)
    held = await ledger.take("alice", session.upload_id)
    await ledger.begin_commit(session.upload_id, 3, 0, single_put(held, b"data"))
    await ledger.publish(session.upload_id, digest(b"data"))
    assert await _removals(maintenance) == {(session.put_name(1), None), (session.put_name(2), None)}


async def test_a_multipart_that_is_not_kept_is_aborted_and_removed(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """One entry carries both the name and the id, because it may or may not have been completed."""
    first = await publish(ledger, b"data")
    session = await open_session(ledger)
    await ledger.attach_multipart(session.upload_id, 1, "mp-1")
    await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None)
    plan = CommitPlan(PART_SIZE, digest(b"data"), session.object_name, False, (), Receipt(), None)
    await ledger.begin_commit(session.upload_id, 1, PART_SIZE, plan)
    second = await ledger.publish(session.upload_id, digest(b"data"))
    assert second.document == first.document
    assert await _removals(maintenance) == {(session.object_name, "mp-1")}


async def _publish_at_once(ledger: SqlUploadLedger, policy: DuplicatePolicy) -> list[Published | BaseException]:
    sessions = [await committing_session(ledger, b"same", duplicate_policy=policy) for _ in range(MANY)]
    return await asyncio.gather(
        *(ledger.publish(session.upload_id, digest(b"same")) for session in sessions), return_exceptions=True
    )


async def test_twenty_of_the_same_bytes_return_one_document(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """RETURN_EXISTING, all at once: one stores, nineteen get its document, nineteen objects go."""
    outcomes = await _publish_at_once(ledger, DuplicatePolicy.RETURN_EXISTING)
    published = [one for one in outcomes if isinstance(one, Published)]
    assert len(published) == MANY, outcomes
    assert len({one.document.document_id for one in published}) == 1
    assert sum(one.session.duplicate for one in published) == MANY - 1
    assert sql("SELECT documents FROM blobs") == [{"documents": 1}]
    queued = await _removals(maintenance)
    assert len(queued) == MANY - 1
    assert (published[0].document.object_name, None) not in queued


async def test_twenty_of_the_same_bytes_make_twenty_documents_of_one_object(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """CREATE_NEW, all at once; and the twenty deletions, all at once, leave nothing and remove the object once."""
    outcomes = await _publish_at_once(ledger, DuplicatePolicy.CREATE_NEW)
    published = [one for one in outcomes if isinstance(one, Published)]
    assert len(published) == MANY, outcomes
    assert len({one.document.document_id for one in published}) == MANY
    assert len({one.document.object_name for one in published}) == 1
    assert sql("SELECT documents FROM blobs") == [{"documents": MANY}]
    kept = published[0].document.object_name
    assert (kept, None) not in await _removals(maintenance)
    await asyncio.gather(*(documents.delete(caller(), one.document.document_id) for one in published))
    assert sql("SELECT documents FROM blobs") == []
    queued = [one.object_name for one in await maintenance.due_removals(limit=1000)]
    assert queued.count(kept) == 1
    assert len(queued) == MANY
    assert (await documents.list("alice", DocumentFilter(), page_size=5, page_token="")).items == ()


async def test_twenty_of_the_same_bytes_under_reject_leave_one(ledger: SqlUploadLedger, sql: Sql) -> None:
    """REJECT, all at once: one document, nineteen refusals that name it."""
    outcomes = await _publish_at_once(ledger, DuplicatePolicy.REJECT)
    (published,) = [one for one in outcomes if isinstance(one, Published)]
    refused = [one for one in outcomes if isinstance(one, DuplicateDocument)]
    assert len(refused) == MANY - 1, outcomes
    assert {one.resource.id for one in refused if one.resource} == {published.document.document_id}
    assert sql("SELECT documents FROM blobs") == [{"documents": 1}]
    assert sql("SELECT count(*) AS n FROM sessions WHERE state = 'FAILED'") == [{"n": MANY - 1}]


async def test_one_key_and_many_contents_at_once(ledger: SqlUploadLedger, sql: Sql) -> None:
    """The key goes to one of them; the others are FAILED with KEY_TAKEN."""
    sessions = [
        (await committing_session(ledger, f"content {number}".encode(), key="k"), f"content {number}".encode())
        for number in range(MANY)
    ]
    outcomes = await asyncio.gather(
        *(ledger.publish(session.upload_id, digest(data)) for session, data in sessions), return_exceptions=True
    )
    assert sum(isinstance(one, Published) for one in outcomes) == 1, outcomes
    assert sum(isinstance(one, KeyTaken) for one in outcomes) == MANY - 1, outcomes
    assert sql("SELECT count(*) AS n FROM documents") == [{"n": 1}]
    assert sql("SELECT count(*) AS n FROM blobs") == [{"n": 1}]


async def test_zero_is_final(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """Bytes whose last document was deleted are stored afresh: the old object is on its way out for good."""
    first = await publish(ledger, b"data")
    await documents.delete(caller(), first.document.document_id)
    assert (first.document.object_name, None) in await _removals(maintenance)
    second = await publish(ledger, b"data", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    assert second.document.object_name == second.session.put_name(1)
    assert (second.document.object_name, None) not in await _removals(maintenance)
    assert sql("SELECT object_name, documents FROM blobs") == [
        {"object_name": second.document.object_name, "documents": 1}
    ]


async def test_deleting_while_others_publish_never_loses_an_object(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance, sql: Sql
) -> None:
    """Every document that is there stands on an object that nobody is about to remove, and the counts agree."""
    for policy in (DuplicatePolicy.CREATE_NEW, DuplicatePolicy.RETURN_EXISTING):
        for _ in range(5):
            standing = await publish(ledger, b"contended", duplicate_policy=DuplicatePolicy.CREATE_NEW)
            sessions = [await committing_session(ledger, b"contended", duplicate_policy=policy) for _ in range(5)]
            await asyncio.gather(
                documents.delete(caller(), standing.document.document_id),
                *(ledger.publish(session.upload_id, digest(b"contended")) for session in sessions),
            )
            there = (await documents.list("alice", DocumentFilter(), page_size=1000, page_token="")).items
            queued = {name for name, _ in await _removals(maintenance)}
            assert not queued & {document.object_name for document in there}
            assert sql("SELECT documents FROM blobs") == ([{"documents": len(there)}] if there else [])
            for document in there:
                await documents.delete(caller(), document.document_id)


async def test_a_commit_that_cannot_go_on_is_failed_from_committing(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """Without an epoch, because nobody holds it any more; the reason is kept."""
    session = await committing_session(ledger, b"data")
    failed = await ledger.fail(session.upload_id, StoredObjectCorrupt("part 2 is gone"), epoch=None)
    assert (failed.state, failed.error_reason, failed.error_message) == (
        UploadState.FAILED,
        "STORED_OBJECT_CORRUPT",
        "part 2 is gone",
    )
    assert await _removals(maintenance) == {(session.put_name(1), None)}
    with pytest.raises(StoredObjectCorrupt):
        await ledger.publish(session.upload_id, digest(b"data"))
