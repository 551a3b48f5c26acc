"""The repository of documents and of the audit trail, as the domain sees it.

Every method is one transaction, sees the caller's own rows only, writes its event in the same
transaction as the change, and raises `errors.DependencyUnavailable`, `errors.CircuitOpen`,
`errors.Overloaded` or `errors.DeadlineExceeded` when the database cannot be asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ledgerlift_server.domain.models import (
    Caller,
    Document,
    DocumentFilter,
    DocumentStats,
    Event,
    EventFilter,
    ExistingDigest,
    Page,
    ProcessingStatus,
)


class DocumentRepository(Protocol):
    """Documents, their status, and their audit trail."""

    async def get(self, owner: str, document_id: str) -> Document:
        """The document. Raises DocumentNotFound."""

    async def list(self, owner: str, where: DocumentFilter, *, page_size: int, page_token: str) -> Page[Document]:
        """One page, newest first, by keyset on `(create_time, document_id)`.

        Raises InvalidRequest for a token that is not of this list or belongs to other filters.
        """

    async def delete(self, caller: Caller, document_id: str) -> None:
        """Remove the record, count its blob down, and queue the object's removal with the last one.

        Repeating it is fine (the `document.deleted` event tells); an id that never was the caller's
        raises DocumentNotFound.
        """

    async def set_status(
        self,
        caller: Caller,
        document_id: str,
        status: ProcessingStatus,
        error_message: str,
        idempotency_key: str,
    ) -> Document:
        """Change the status by `status_rules.check_transition`, and record it, under the row's lock.

        A repeated `idempotency_key` of this owner answers the document as it now is and changes nothing;
        the same key for another document or status raises RequestIdReused. Raises DocumentNotFound,
        InvalidStatusTransition.
        """

    async def record_event(
        self,
        caller: Caller,
        document_id: str,
        event_type: str,
        detail: Mapping[str, str],
        idempotency_key: str,
    ) -> Event:
        """Add an entry. A repeated `idempotency_key` answers the first entry; for another document or type it
        raises RequestIdReused. Raises DocumentNotFound.
        """

    async def list_events(self, owner: str, where: EventFilter, *, page_size: int, page_token: str) -> Page[Event]:
        """One page, oldest first. Raises InvalidRequest for a bad token."""

    async def events_after(self, owner: str, where: EventFilter, cursor: str, *, limit: int) -> Sequence[Event]:
        """Entries after `cursor` (empty: from the beginning), oldest first.

        Never skips an entry that commits later with an earlier position: entries are given out only once
        no earlier one can still appear. Raises InvalidRequest for a bad cursor.
        """

    async def find_digests(self, owner: str, digests: Collection[str]) -> Mapping[str, ExistingDigest]:
        """Of `digests`, those of which the owner has a document: its oldest."""

    async def stats(self, owner: str) -> DocumentStats:
        """Counts over the owner's documents."""
