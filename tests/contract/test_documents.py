"""Reading, listing, counting and deleting documents."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import (
    Count,
    Document,
    DocumentFilter,
    DocumentStats,
    EventFilter,
    EventType,
    ExistingDigest,
    ProcessingStatus,
)
from ledgerlift_server.domain.upload_models import DuplicatePolicy
from ledgerlift_server.errors import DocumentNotFound, InvalidRequest

from tests.support.databases import Sql
from tests.support.uploads import caller, digest, publish


async def _listed(documents: SqlDocuments, where: DocumentFilter, owner: str = "alice") -> list[Document]:
    """Page by page, two at a time."""
    found: list[Document] = []
    token = ""
    while True:
        page = await documents.list(owner, where, page_size=2, page_token=token)
        found += page.items
        token = page.next_token
        if not token:
            return found
        assert len(page.items) == 2
        assert len(found) < 100, "the list does not end"


async def test_another_owners_document_is_not_found(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """For every question and every change."""
    published = await publish(ledger, b"data", "alice", key="k")
    document_id = published.document.document_id
    with pytest.raises(DocumentNotFound):
        await documents.get("bob", document_id)
    with pytest.raises(DocumentNotFound):
        await documents.delete(caller("bob"), document_id)
    with pytest.raises(DocumentNotFound):
        await documents.set_status(caller("bob"), document_id, ProcessingStatus.PROCESSING, "", "k-1")
    with pytest.raises(DocumentNotFound):
        await documents.record_event(caller("bob"), document_id, "seen", {}, "k-2")
    assert await _listed(documents, DocumentFilter(), "bob") == []
    assert await documents.find_digests("bob", [published.document.sha256]) == {}
    assert await documents.stats("bob") == DocumentStats(Count(0, 0), 0, 0, {}, ())
    assert await documents.events_after("bob", EventFilter(document_id=document_id), "", limit=10) == []
    assert await documents.get("alice", document_id) == published.document


async def test_an_id_that_no_database_can_hold_is_refused_not_a_crash(documents: SqlDocuments) -> None:
    """PostgreSQL has no text with NUL in it; SQLite has, and does not find it."""
    with pytest.raises((DocumentNotFound, InvalidRequest)):
        await documents.get("alice", "a\x00b")


async def test_documents_are_listed_newest_first(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Each once, over all pages."""
    made = [(await publish(ledger, f"{number}".encode())).document for number in range(7)]
    await publish(ledger, b"bob's", "bob")
    assert await _listed(documents, DocumentFilter()) == made[::-1]


async def test_documents_of_one_instant_are_listed_once_each(
    ledger: SqlUploadLedger, documents: SqlDocuments, sql: Sql
) -> None:
    """Equal times are told apart by the id, so that no page repeats or skips one."""
    made = {(await publish(ledger, f"{number}".encode())).document.document_id for number in range(7)}
    sql("UPDATE documents SET create_time = (SELECT min(create_time) FROM documents)")
    listed = [document.document_id for document in await _listed(documents, DocumentFilter())]
    assert listed == sorted(made, reverse=True)


async def test_a_list_goes_on_where_it_was_although_documents_come_and_go(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """New ones stay in front, a deleted one is no hole, and the rest is neither repeated nor skipped."""
    made = [(await publish(ledger, f"{number}".encode())).document for number in range(6)]
    page = await documents.list("alice", DocumentFilter(), page_size=2, page_token="")
    await publish(ledger, b"newer")
    await documents.delete(caller(), page.items[-1].document_id)
    await documents.delete(caller(), made[2].document_id)
    rest = await documents.list("alice", DocumentFilter(), page_size=10, page_token=page.next_token)
    assert list(rest.items) == [made[3], made[1], made[0]]


async def test_each_filter_and_all_of_them_together(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Status, media type, key prefix, and time from (included) to (not included)."""
    text = (await publish(ledger, b"1", key="in/a")).document
    pdf = (await publish(ledger, b"2", key="in/b", content_type="application/pdf")).document
    other = (await publish(ledger, b"3", key="out/a")).document
    bare = (await publish(ledger, b"4", content_type="application/pdf")).document
    working = await documents.set_status(caller(), pdf.document_id, ProcessingStatus.PROCESSING, "", "k-1")
    for where, expected in (
        (DocumentFilter(status=ProcessingStatus.PROCESSING), [working]),
        (DocumentFilter(status=ProcessingStatus.UPLOADED), [bare, other, text]),
        (DocumentFilter(content_type="application/pdf"), [bare, working]),
        (DocumentFilter(content_type="application/PDF"), []),
        (DocumentFilter(key_prefix="in/"), [working, text]),
        (DocumentFilter(key_prefix="in/a"), [text]),
        (DocumentFilter(key_prefix="in%"), []),
        (DocumentFilter(key_prefix=""), [bare, other, working, text]),
        (DocumentFilter(created_after=other.create_time), [bare, other]),
        (DocumentFilter(created_before=other.create_time), [working, text]),
        (DocumentFilter(created_after=other.create_time + timedelta(days=1)), []),
        (
            DocumentFilter(ProcessingStatus.PROCESSING, "application/pdf", "in/", text.create_time, bare.create_time),
            [working],
        ),
    ):
        assert await _listed(documents, where) == expected, where


async def test_a_key_prefix_is_any_text(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """By code point, to the end of Unicode; no character of it means anything else."""
    keys = ["a", "a_", "a%", "ab", "a\ud7ff", "a\ue000", "a\U0010ffff", "a\U0010ffffx", "b", "\U0010ffff"]
    for number, key in enumerate(keys):
        await publish(ledger, f"{number}".encode(), key=key)
    for prefix in ("a", "a_", "a%", "a\ud7ff", "a\U0010ffff", "\U0010ffff", "c"):
        listed = await _listed(documents, DocumentFilter(key_prefix=prefix))
        assert {document.key for document in listed} == {key for key in keys if key.startswith(prefix)}


async def test_a_page_token_of_other_filters_is_refused(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """A list that changes its filters in the middle would have holes; the caller is told instead."""
    for number in range(3):
        await publish(ledger, f"{number}".encode())
    token = (await documents.list("alice", DocumentFilter(), page_size=1, page_token="")).next_token
    for owner, where, given in (
        ("bob", DocumentFilter(), token),
        ("alice", DocumentFilter(status=ProcessingStatus.UPLOADED), token),
        ("alice", DocumentFilter(), token[:-1] + "\u00e9"),
        ("alice", DocumentFilter(), "bm90IGEgdG9rZW4"),
    ):
        with pytest.raises(InvalidRequest):
            await documents.list(owner, where, page_size=1, page_token=given)


async def test_the_last_document_takes_the_object_with_it(
    ledger: SqlUploadLedger, documents: SqlDocuments, maintenance: SqlMaintenance
) -> None:
    """Not before; and the trail keeps what the record was."""
    first = (await publish(ledger, b"data", key="k")).document
    second = (await publish(ledger, b"data", duplicate_policy=DuplicatePolicy.CREATE_NEW)).document

    async def removed() -> bool:
        return first.object_name in {one.object_name for one in await maintenance.due_removals(limit=10)}

    me = caller()
    await documents.delete(me, first.document_id)
    assert not await removed()
    assert await documents.get("alice", second.document_id) == second
    await documents.delete(caller(), second.document_id)
    assert await removed()
    (created, deleted) = await documents.events_after(
        "alice", EventFilter(document_id=first.document_id), "", limit=10
    )
    assert (created.type, deleted.type) == (EventType.DOCUMENT_CREATED, EventType.DOCUMENT_DELETED)
    assert (deleted.actor, deleted.request_id) == ("alice", me.request_id)
    assert deleted.detail == {"filename": "notes.txt", "sha256": digest(b"data"), "size": "4", "key": "k"}


async def test_deleting_again_is_fine(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Twenty at once and one later: one event. An id that never was is not found."""
    document_id = (await publish(ledger, b"data")).document.document_id
    await asyncio.gather(*(documents.delete(caller(), document_id) for _ in range(20)))
    await documents.delete(caller(), document_id)
    trail = await documents.events_after("alice", EventFilter(document_id=document_id), "", limit=50)
    assert [event.type for event in trail] == [EventType.DOCUMENT_CREATED, EventType.DOCUMENT_DELETED]
    with pytest.raises(DocumentNotFound):
        await documents.get("alice", document_id)
    with pytest.raises(DocumentNotFound):
        await documents.delete(caller(), "never")


async def test_a_deleted_documents_key_is_free(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Other bytes may have it."""
    document_id = (await publish(ledger, b"data", key="k")).document.document_id
    await documents.delete(caller(), document_id)
    assert (await publish(ledger, b"other", key="k")).document.key == "k"


async def test_a_digest_is_answered_with_its_oldest_document(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """However many share it; unknown ones are left out, and no digests are no question."""
    first = (await publish(ledger, b"data")).document
    await publish(ledger, b"data", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    other = (await publish(ledger, b"other!")).document
    found = await documents.find_digests("alice", [first.sha256, other.sha256, digest(b"unknown")])
    assert found == {
        first.sha256: ExistingDigest(first.sha256, first.document_id, 4),
        other.sha256: ExistingDigest(other.sha256, other.document_id, 6),
    }
    await documents.delete(caller(), first.document_id)
    found = await documents.find_digests("alice", [first.sha256])
    assert found[first.sha256].document_id != first.document_id
    assert await documents.find_digests("alice", []) == {}


async def test_counts_by_status_and_by_media_type(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Shared bytes are counted once in what is stored, and once per document in the total."""
    await publish(ledger, b"four")
    await publish(ledger, b"four", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    pdf = (await publish(ledger, b"123456", content_type="application/pdf")).document
    await documents.set_status(caller(), pdf.document_id, ProcessingStatus.PROCESSING, "", "k-1")
    assert await documents.stats("alice") == DocumentStats(
        total=Count(3, 14),
        objects=2,
        stored_size=10,
        by_status={ProcessingStatus.UPLOADED: Count(2, 8), ProcessingStatus.PROCESSING: Count(1, 6)},
        by_content_type=(("text/plain", Count(2, 8)), ("application/pdf", Count(1, 6))),
    )
