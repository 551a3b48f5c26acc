"""DocumentService on the wire: translate and delegate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from ledgerlift.v1 import document_service_pb2 as pb
from ledgerlift.v1 import document_service_pb2_grpc

from ledgerlift_server.domain.document_service import DocumentService
from ledgerlift_server.domain.download import Downloads
from ledgerlift_server.domain.event_feed import EventFeed
from ledgerlift_server.domain.models import Document, DocumentFilter, EventFilter
from ledgerlift_server.domain.validation import (
    MAX_CONTENT_TYPE_CHARACTERS,
    MAX_KEY_CHARACTERS,
    Violations,
    page_size_of,
)
from ledgerlift_server.rpc import convert
from ledgerlift_server.rpc.caller import current_caller


class DocumentServicer(document_service_pb2_grpc.DocumentServiceServicer):
    """Documents, their bytes, their status and their audit trail."""

    def __init__(self, documents: DocumentService, downloads: Downloads, events: EventFeed) -> None:
        """One domain service for each kind of call."""
        self._documents = documents
        self._downloads = downloads
        self._events = events

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Any) -> pb.GetDocumentResponse:
        """See `DocumentService` in `protos`."""
        document = await self._documents.get(current_caller.get(), request.document_id)
        return pb.GetDocumentResponse(document=convert.document_message(document))

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Any) -> pb.ListDocumentsResponse:
        """See `DocumentService` in `protos`."""
        found = Violations()
        where = DocumentFilter(
            status=convert.status_member(request.status, found, "status"),
            content_type=request.content_type or None,
            key_prefix=request.key_prefix or None,
            created_after=convert.moment(request.created_after, found, "created_after")
            if request.HasField("created_after")
            else None,
            created_before=convert.moment(request.created_before, found, "created_before")
            if request.HasField("created_before")
            else None,
        )
        found.text("content_type", request.content_type, MAX_CONTENT_TYPE_CHARACTERS)
        found.text("key_prefix", request.key_prefix, MAX_KEY_CHARACTERS)
        page_size = page_size_of(found, "page_size", request.page_size)
        found.raise_if_any()
        page = await self._documents.list(
            current_caller.get(), where, request.owner, page_size=page_size, page_token=request.page_token
        )
        return pb.ListDocumentsResponse(
            documents=map(convert.document_message, page.items), next_page_token=page.next_token
        )

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Any) -> pb.DeleteDocumentResponse:
        """See `DocumentService` in `protos`."""
        await self._documents.delete(current_caller.get(), request.document_id)
        return pb.DeleteDocumentResponse()

    async def DownloadDocument(
        self, request: pb.DownloadDocumentRequest, context: Any
    ) -> AsyncIterator[pb.DownloadDocumentResponse]:
        """See `DocumentService` in `protos`."""
        length = request.length if request.HasField("length") else None
        document: Document | None = None
        async for part in self._downloads.run(current_caller.get(), request.document_id, request.offset, length):
            if isinstance(part, Document):
                document = part
                yield pb.DownloadDocumentResponse(document=convert.document_message(part))
            else:
                chunk = pb.DownloadChunk(offset=part.offset, data=part.data, crc32c=part.crc32c)
                yield pb.DownloadDocumentResponse(chunk=chunk)
        assert document is not None
        yield pb.DownloadDocumentResponse(summary=pb.DownloadSummary(sha256=document.sha256, size=document.size))

    async def UpdateProcessingStatus(
        self, request: pb.UpdateProcessingStatusRequest, context: Any
    ) -> pb.UpdateProcessingStatusResponse:
        """See `DocumentService` in `protos`."""
        found = Violations()
        status = convert.status_member(request.status, found, "status")
        found.raise_if_any()
        document = await self._documents.set_status(
            current_caller.get(), request.document_id, status, request.error_message, request.request_id
        )
        return pb.UpdateProcessingStatusResponse(document=convert.document_message(document))

    async def RecordEvent(self, request: pb.RecordEventRequest, context: Any) -> pb.RecordEventResponse:
        """See `DocumentService` in `protos`."""
        event = await self._documents.record_event(
            current_caller.get(),
            request.document_id,
            request.type,
            dict(request.detail),
            request.request_id,
        )
        return pb.RecordEventResponse(event=convert.event_message(event))

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        """See `DocumentService` in `protos`."""
        found = Violations()
        where = _event_filter(request.document_id, request.upload_id, found)
        page_size = page_size_of(found, "page_size", request.page_size)
        found.raise_if_any()
        page = await self._documents.list_events(
            current_caller.get(), where, page_size=page_size, page_token=request.page_token
        )
        return pb.ListEventsResponse(events=map(convert.event_message, page.items), next_page_token=page.next_token)

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Any
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        """See `DocumentService` in `protos`."""
        found = Violations()
        where = _event_filter(request.document_id, "", found)
        found.raise_if_any()
        async for event in self._events.watch(current_caller.get(), where, request.cursor):
            yield pb.WatchEventsResponse(event=convert.event_message(event))

    async def GetDocumentStats(
        self, request: pb.GetDocumentStatsRequest, context: Any
    ) -> pb.GetDocumentStatsResponse:
        """See `DocumentService` in `protos`."""
        stats = await self._documents.stats(current_caller.get())
        return pb.GetDocumentStatsResponse(stats=convert.stats_message(stats))


def _event_filter(document_id: str, upload_id: str, found: Violations) -> EventFilter:
    if document_id:
        found.uuid("document_id", document_id)
    if upload_id:
        found.uuid("upload_id", upload_id)
    return EventFilter(document_id=document_id or None, upload_id=upload_id or None)
