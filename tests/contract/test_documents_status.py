"""Processing status, and entries that callers add to the trail: idempotent by the caller's key."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlUploadLedger
from ledgerlift_server.domain.models import Document, Event, EventFilter, EventType, ProcessingStatus
from ledgerlift_server.errors import DocumentNotFound, InvalidStatusTransition, RequestIdReused

from tests.support.databases import Sql
from tests.support.uploads import caller, publish


async def _trail(documents: SqlDocuments, document_id: str) -> list[Event]:
    return list(await documents.events_after("alice", EventFilter(document_id=document_id), "", limit=100))


async def test_a_change_of_status_is_recorded_with_it(
    ledger: SqlUploadLedger, documents: SqlDocuments, sql: Sql, database_url: str
) -> None:
    """From what to what, by whom, for which request, and why."""
    document = (await publish(ledger, b"data")).document
    if database_url.startswith("sqlite"):
        sql("UPDATE documents SET update_time = update_time - 1000000")
    else:
        sql("UPDATE documents SET update_time = update_time - interval '1 second'")
    me = caller()
    failed = await documents.set_status(me, document.document_id, ProcessingStatus.FAILED, "no text found", "k-1")
    assert (failed.status, failed.error_message) == (ProcessingStatus.FAILED, "no text found")
    assert failed.update_time >= document.update_time
    assert failed.create_time == document.create_time
    retrying = await documents.set_status(caller(), document.document_id, ProcessingStatus.RETRYING, "", "k-2")
    assert (retrying.status, retrying.error_message) == (ProcessingStatus.RETRYING, "")
    assert await documents.get("alice", document.document_id) == retrying
    event = (await _trail(documents, document.document_id))[1]
    assert (event.type, event.from_status, event.to_status) == (
        EventType.STATUS_CHANGED,
        ProcessingStatus.UPLOADED,
        ProcessingStatus.FAILED,
    )
    assert (event.actor, event.request_id) == ("alice", me.request_id)
    assert event.detail == {"error_message": "no text found"}


async def test_a_change_that_is_not_allowed_leaves_no_trace(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Neither in the document nor in the trail, and its key stays free."""
    document = (await publish(ledger, b"data")).document
    with pytest.raises(InvalidStatusTransition):
        await documents.set_status(caller(), document.document_id, ProcessingStatus.COMPLETED, "", "k-1")
    assert await documents.get("alice", document.document_id) == document
    assert len(await _trail(documents, document.document_id)) == 1
    await documents.set_status(caller(), document.document_id, ProcessingStatus.PROCESSING, "", "k-1")


async def test_a_repeated_change_answers_the_document_as_it_is(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """Twenty at once: one change. Later, too, when the document has moved on."""
    document_id = (await publish(ledger, b"data")).document.document_id
    answers = await asyncio.gather(
        *(documents.set_status(caller(), document_id, ProcessingStatus.PROCESSING, "", "k-1") for _ in range(20))
    )
    assert all(answer == answers[0] for answer in answers)
    done = await documents.set_status(caller(), document_id, ProcessingStatus.COMPLETED, "", "k-2")
    assert await documents.set_status(caller(), document_id, ProcessingStatus.PROCESSING, "", "k-1") == done
    assert len(await _trail(documents, document_id)) == 3


async def test_concurrent_changes_follow_one_another(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Twenty callers with keys of their own want the same change: one makes it, the others come too late."""
    document_id = (await publish(ledger, b"data")).document.document_id
    answers = await asyncio.gather(
        *(
            documents.set_status(caller(), document_id, ProcessingStatus.PROCESSING, "", f"k-{number}")
            for number in range(20)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Document) for answer in answers) == 1
    assert sum(isinstance(answer, InvalidStatusTransition) for answer in answers) == 19
    assert len(await _trail(documents, document_id)) == 2


async def test_a_key_names_one_change_only(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Another status, document or kind of entry under the same key is refused; another owner's is not."""
    first = (await publish(ledger, b"1")).document.document_id
    second = (await publish(ledger, b"2")).document.document_id
    await documents.set_status(caller(), first, ProcessingStatus.PROCESSING, "", "k-1")
    with pytest.raises(RequestIdReused):
        await documents.set_status(caller(), first, ProcessingStatus.COMPLETED, "", "k-1")
    with pytest.raises(RequestIdReused):
        await documents.set_status(caller(), second, ProcessingStatus.PROCESSING, "", "k-1")
    with pytest.raises(RequestIdReused):
        await documents.record_event(caller(), first, "seen", {}, "k-1")
    theirs = (await publish(ledger, b"1", "bob")).document.document_id
    await documents.set_status(caller("bob"), theirs, ProcessingStatus.PROCESSING, "", "k-1")


async def test_one_key_for_many_documents_at_once(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """The first of them has it; the others are told that it was used."""
    ids = [(await publish(ledger, f"{number}".encode())).document.document_id for number in range(10)]
    answers = await asyncio.gather(
        *(documents.set_status(caller(), one, ProcessingStatus.PROCESSING, "", "k-1") for one in ids),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Document) for answer in answers) == 1, answers
    assert sum(isinstance(answer, RequestIdReused) for answer in answers) == 9, answers


async def test_a_recorded_entry_is_answered_again(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """The first entry, whatever the repeat carries; also when the document is gone."""
    document_id = (await publish(ledger, b"data")).document.document_id
    me = caller()
    entries = await asyncio.gather(
        *(documents.record_event(me, document_id, "ocr.started", {"pages": "3"}, "k-1") for _ in range(20))
    )
    first = entries[0]
    assert all(entry == first for entry in entries)
    assert (first.type, first.detail, first.document_id) == ("ocr.started", {"pages": "3"}, document_id)
    assert (first.actor, first.request_id, first.from_status) == ("alice", me.request_id, None)
    assert await documents.record_event(caller(), document_id, "ocr.started", {"pages": "4"}, "k-1") == first
    await documents.delete(caller(), document_id)
    assert await documents.record_event(caller(), document_id, "ocr.started", {}, "k-1") == first
    with pytest.raises(DocumentNotFound):
        await documents.record_event(caller(), document_id, "ocr.started", {}, "k-2")


async def test_an_entrys_key_names_one_type_and_document(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Anything else under the same key is refused."""
    first = (await publish(ledger, b"1")).document.document_id
    second = (await publish(ledger, b"2")).document.document_id
    await documents.record_event(caller(), first, "seen", {}, "k-1")
    with pytest.raises(RequestIdReused):
        await documents.record_event(caller(), first, "filed", {}, "k-1")
    with pytest.raises(RequestIdReused):
        await documents.record_event(caller(), second, "seen", {}, "k-1")
    with pytest.raises(RequestIdReused):
        await documents.set_status(caller(), first, ProcessingStatus.PROCESSING, "", "k-1")


async def test_without_a_key_every_entry_counts(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """The empty key is none."""
    document_id = (await publish(ledger, b"data")).document.document_id
    entries = [await documents.record_event(caller(), document_id, "seen", {}, "") for _ in range(2)]
    assert entries[0].event_id != entries[1].event_id


async def test_changes_that_come_at_once_are_told_in_the_order_they_were_made(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """Each goes on from the status that the one before it led to, down to the removal."""
    document_id = (await publish(ledger, b"data")).document.document_id
    cycle = (ProcessingStatus.PROCESSING, ProcessingStatus.FAILED, ProcessingStatus.RETRYING)

    async def change(n: int) -> None:
        with suppress(InvalidStatusTransition, DocumentNotFound):
            await documents.set_status(caller(), document_id, cycle[n % 3], "why", f"k-{n}")

    await asyncio.gather(*(change(n) for n in range(60)))
    await asyncio.gather(*(change(n) for n in range(60, 90)), documents.delete(caller(), document_id))
    created, *changes, deleted = await _trail(documents, document_id)
    assert (created.type, deleted.type) == (EventType.DOCUMENT_CREATED, EventType.DOCUMENT_DELETED)
    told = [(change.from_status, change.to_status) for change in changes]
    assert len(told) > 1
    assert [begin for begin, _ in told] == [ProcessingStatus.UPLOADED, *(end for _, end in told[:-1])]
