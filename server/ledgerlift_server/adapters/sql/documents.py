"""Documents and the audit trail on SQL: `domain.document_port.DocumentRepository`. Each method is one transaction.

Changes of one document take turns, so that its trail tells of them in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Select, delete, select, update

from ledgerlift_server.adapters.sql import events
from ledgerlift_server.adapters.sql.blobs import count_down, lock_blob
from ledgerlift_server.adapters.sql.document_queries import document_stats, list_documents, oldest_of_digests
from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.adapters.sql.paging import PAGE_BYTES, PageTokens, read_page, three_numbers, time_and_id
from ledgerlift_server.adapters.sql.rows import document_from
from ledgerlift_server.adapters.sql.tables import documents
from ledgerlift_server.adapters.sql.transactions import Again, Database, Transaction
from ledgerlift_server.adapters.sql.types import now, to_microseconds
from ledgerlift_server.domain.models import (
    Caller,
    Document,
    DocumentFilter,
    DocumentStats,
    Event,
    EventFilter,
    EventType,
    ExistingDigest,
    Page,
    ProcessingStatus,
)
from ledgerlift_server.domain.status_rules import check_transition
from ledgerlift_server.errors import DocumentNotFound, RequestIdReused, Resource


class SqlDocuments:
    """Documents, their status, and their audit trail."""

    def __init__(
        self, database: Database, *, new_id: Callable[[], str] = new_id, page_bytes: int = PAGE_BYTES
    ) -> None:
        """`new_id` makes ids of events; `page_bytes` bounds a page beside the number of its entries."""
        self._database = database
        self._new_id = new_id
        self._page_bytes = page_bytes

    async def get(self, owner: str, document_id: str) -> Document:
        """See the port."""
        return await self._database.read("documents.get", lambda tx: _find(tx, owner, document_id))

    async def list(self, owner: str, where: DocumentFilter, *, page_size: int, page_token: str) -> Page[Document]:
        """See the port."""
        tokens = PageTokens(time_and_id, "documents", owner, where)
        after = tokens.decode(page_token)

        def work(tx: Transaction) -> Page[Document]:
            return read_page(
                tx,
                partial(list_documents, owner, where),
                after,
                page_size,
                document_from,
                lambda row: (row["create_time"], row["document_id"]),
                lambda row: tokens.encode(to_microseconds(row["create_time"]), row["document_id"]),
                texts=("filename", "key", "metadata", "error_message"),
                page_bytes=self._page_bytes,
            )

        return await self._database.read("documents.list", work)

    async def delete(self, caller: Caller, document_id: str) -> None:
        """See the port."""

        def work(tx: Transaction) -> None:
            try:
                document = _find(tx, caller.subject, document_id)
            except DocumentNotFound:
                if events.was_deleted(tx, caller.subject, document_id):
                    return
                raise
            blob = lock_blob(tx, document.owner, document.sha256)
            if blob is None or not tx.run(delete(documents).where(documents.c.document_id == document_id)):
                raise Again  # somebody deleted it after we looked; the trail tells
            count_down(tx, blob)
            facts = {
                "filename": document.filename,
                "sha256": document.sha256,
                "size": str(document.size),
            }
            if document.key is not None:
                facts["key"] = document.key
            new = events.NewEvent(
                owner=document.owner,
                type=EventType.DOCUMENT_DELETED,
                actor=caller.subject,
                request_id=caller.request_id,
                document_id=document_id,
                detail=facts,
            )
            events.append_event(tx, new, self._new_id)

        await self._database.write("documents.delete", work, turn=document_id)

    async def set_status(
        self,
        caller: Caller,
        document_id: str,
        status: ProcessingStatus,
        error_message: str,
        idempotency_key: str,
    ) -> Document:
        """See the port. An empty `idempotency_key` is none."""

        def work(tx: Transaction) -> Document:
            document = _lock(tx, caller.subject, document_id)
            # Only now: whoever held the lock may have been an earlier attempt at the same change.
            recorded = events.find_by_key(tx, caller.subject, idempotency_key)
            if recorded is not None:
                same = (recorded.type, recorded.document_id, recorded.to_status)
                if same != (EventType.STATUS_CHANGED, document_id, status):
                    raise _reused(idempotency_key, recorded)
            if document is None:
                raise DocumentNotFound(document_id)
            if recorded is not None:
                return document
            check_transition(document.status, status)
            row = tx.one(
                update(documents)
                .where(documents.c.document_id == document_id)
                .values(status=status.value, error_message=error_message, update_time=now())
                .returning(documents)
            )
            new = events.NewEvent(
                owner=document.owner,
                type=EventType.STATUS_CHANGED,
                actor=caller.subject,
                request_id=caller.request_id,
                document_id=document_id,
                from_status=document.status,
                to_status=status,
                detail={"error_message": error_message} if error_message else {},
                idempotency_key=idempotency_key or None,
            )
            events.append_event(tx, new, self._new_id)
            return document_from(row)

        return await self._database.write("documents.set_status", work, turn=document_id)

    async def record_event(
        self,
        caller: Caller,
        document_id: str,
        event_type: str,
        detail: Mapping[str, str],
        idempotency_key: str,
    ) -> Event:
        """See the port. An empty `idempotency_key` is none."""

        def work(tx: Transaction) -> Event:
            document = _lock(tx, caller.subject, document_id)
            recorded = events.find_by_key(tx, caller.subject, idempotency_key)
            if recorded is not None:
                if (recorded.type, recorded.document_id) != (event_type, document_id):
                    raise _reused(idempotency_key, recorded)
                return recorded
            if document is None:
                raise DocumentNotFound(document_id)
            new = events.NewEvent(
                owner=caller.subject,
                type=event_type,
                actor=caller.subject,
                request_id=caller.request_id,
                document_id=document_id,
                detail=detail,
                idempotency_key=idempotency_key or None,
            )
            return events.append_event(tx, new, self._new_id)

        return await self._database.write("documents.record_event", work, turn=document_id)

    async def list_events(self, owner: str, where: EventFilter, *, page_size: int, page_token: str) -> Page[Event]:
        """See the port. Entries show up as soon as they are committed; `listed_event` says what that means."""
        tokens = PageTokens(three_numbers, "events", owner, where)
        after = tokens.decode(page_token)

        def work(tx: Transaction) -> Page[Event]:
            return read_page(
                tx,
                partial(events.read_events, owner, where, settled=False),
                after,
                page_size,
                events.listed_event,
                events.position_of,
                lambda row: tokens.encode(*events.position_of(row)),
                texts=("detail",),
                page_bytes=self._page_bytes,
            )

        return await self._database.read("documents.list_events", work)

    async def events_after(self, owner: str, where: EventFilter, cursor: str, *, limit: int) -> Sequence[Event]:
        """See the port."""
        after = events.decode_cursor(cursor)
        statement = events.read_events(owner, where, after, limit, settled=True)
        rows = await self._database.read("documents.events_after", lambda tx: tx.all(statement))
        return [events.event_from(row, events.position_of(row)) for row in rows]

    async def find_digests(self, owner: str, digests: Collection[str]) -> Mapping[str, ExistingDigest]:
        """See the port."""
        statement = oldest_of_digests(owner, digests)
        rows = await self._database.read("documents.find_digests", lambda tx: tx.all(statement))
        return {row["sha256"]: ExistingDigest(row["sha256"], row["document_id"], row["size"]) for row in rows}

    async def stats(self, owner: str) -> DocumentStats:
        """See the port."""
        return await self._database.read("documents.stats", lambda tx: document_stats(tx, owner))


def _find(tx: Transaction, owner: str, document_id: str) -> Document:
    row = tx.first(_one(owner, document_id))
    if row is None:
        raise DocumentNotFound(document_id)
    return document_from(row)


def _lock(tx: Transaction, owner: str, document_id: str) -> Document | None:
    row = tx.first(_one(owner, document_id).with_for_update())
    return None if row is None else document_from(row)


def _one(owner: str, document_id: str) -> Select[Any]:
    return select(documents).where(documents.c.document_id == document_id, documents.c.owner == owner)


def _reused(key: str, recorded: Event) -> RequestIdReused:
    return RequestIdReused(
        f"request_id {key!r} was used for {recorded.type} of document {recorded.document_id}",
        resource=Resource("document", recorded.document_id or ""),
    )
