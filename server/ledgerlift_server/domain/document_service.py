"""Documents as their owner sees them: look, list, delete, and the processing status with its audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ledgerlift_server.domain.document_port import DocumentRepository
from ledgerlift_server.domain.models import (
    Caller,
    Document,
    DocumentFilter,
    DocumentStats,
    Event,
    EventFilter,
    Page,
    ProcessingStatus,
)
from ledgerlift_server.domain.steps import Checkpoint, Step, no_checkpoint
from ledgerlift_server.domain.validation import (
    MAX_ERROR_MESSAGE_CHARACTERS,
    MAX_REQUEST_ID_CHARACTERS,
    Violations,
    check_event_type,
)

NOTHING: Page[Document] = Page((), "")


class DocumentService:
    """Every query is scoped to the caller by the repository: another owner's id is not found."""

    def __init__(
        self,
        documents: DocumentRepository,
        *,
        on_removals: Callable[[], None],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """`on_removals` wakes whoever empties the outbox."""
        self._documents = documents
        self._on_removals = on_removals
        self._checkpoint = checkpoint

    async def get(self, caller: Caller, document_id: str) -> Document:
        """The document. Raises InvalidRequest, DocumentNotFound."""
        _check_id(document_id)
        return await self._documents.get(caller.subject, document_id)

    async def list(
        self, caller: Caller, where: DocumentFilter, owner: str, *, page_size: int, page_token: str
    ) -> Page[Document]:
        """One page, newest first. `owner`, where given and not the caller, owns nothing that it can see."""
        if owner and owner != caller.subject:
            return NOTHING
        return await self._documents.list(caller.subject, where, page_size=page_size, page_token=page_token)

    async def delete(self, caller: Caller, document_id: str) -> None:
        """Remove the document; its bytes go with the last that shares them. Repeating it is fine."""
        _check_id(document_id)
        await self._documents.delete(caller, document_id)
        self._checkpoint(Step.DOCUMENT_DELETED)
        self._on_removals()

    async def set_status(
        self,
        caller: Caller,
        document_id: str,
        status: ProcessingStatus | None,
        error_message: str,
        request_id: str,
    ) -> Document:
        """Move the document along `status_rules.TRANSITIONS`, once for each `request_id`.

        Raises InvalidRequest, DocumentNotFound, InvalidStatusTransition, RequestIdReused.
        """
        found = Violations()
        found.uuid("document_id", document_id)
        found.require(status is not None, "status", "is required")
        found.text("error_message", error_message, MAX_ERROR_MESSAGE_CHARACTERS)
        if status is ProcessingStatus.FAILED:
            found.require(bool(error_message), "error_message", "is required with FAILED")
        elif status is not ProcessingStatus.RETRYING:
            found.require(not error_message, "error_message", "is for FAILED and RETRYING only")
        found.text("request_id", request_id, MAX_REQUEST_ID_CHARACTERS)
        found.raise_if_any()
        assert status is not None
        key = request_id or caller.request_id
        return await self._documents.set_status(caller, document_id, status, error_message, key)

    async def record_event(
        self, caller: Caller, document_id: str, event_type: str, detail: Mapping[str, str], request_id: str
    ) -> Event:
        """Add an entry of the caller's own, once for each `request_id`.

        Raises InvalidRequest, DocumentNotFound, RequestIdReused.
        """
        found = Violations()
        found.uuid("document_id", document_id)
        check_event_type(found, "type", event_type)
        found.labels("detail", detail)
        found.text("request_id", request_id, MAX_REQUEST_ID_CHARACTERS)
        found.raise_if_any()
        key = request_id or caller.request_id
        return await self._documents.record_event(caller, document_id, event_type, detail, key)

    async def list_events(
        self, caller: Caller, where: EventFilter, *, page_size: int, page_token: str
    ) -> Page[Event]:
        """One page of the audit trail, oldest first."""
        return await self._documents.list_events(caller.subject, where, page_size=page_size, page_token=page_token)

    async def stats(self, caller: Caller) -> DocumentStats:
        """Counts over the caller's documents."""
        return await self._documents.stats(caller.subject)


def _check_id(document_id: str) -> None:
    found = Violations()
    found.uuid("document_id", document_id)
    found.raise_if_any()
