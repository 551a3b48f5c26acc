"""Documents and their audit trail, as users of the client see them. Each method translates and delegates."""

# ruff: noqa: ASYNC109 - `timeout` is sent with the calls and bounds their retries; asyncio.timeout would only cancel

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from typing import BinaryIO

from ledgerlift.v1 import document_service_pb2 as documents

from ledgerlift_client import _convert, _policies, _requests
from ledgerlift_client._aio import _events
from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._aio._downloader import chunks, download
from ledgerlift_client._aio._pages import pages
from ledgerlift_client._core import header_id
from ledgerlift_client._download_course import DownloadCourse
from ledgerlift_client._download_run import DownloadRun
from ledgerlift_client._models import Document, DocumentStats, Event, ProcessingStatus
from ledgerlift_client._progress import Progress
from ledgerlift_client._transfer_events import Reporter, TransferEvent, telling


class DocumentMethods:
    """The part of `AsyncLedgerLiftClient` that is about documents."""

    _calls: Calls

    async def download(
        self,
        document_id: str,
        to: str | os.PathLike[str] | BinaryIO,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        on_event: Callable[[TransferEvent], None] | None = None,
        timeout: float | None = None,
    ) -> Document:
        """Fetch a document, or `length` bytes of it from `offset`, into a file or a binary file object.

        Every chunk's CRC-32C and the whole document's SHA-256 are checked; a broken connection is taken up
        from the last good byte. A path is written beside its place and put there, synced, only when it is
        whole and right. A file object gets the bytes as they come: after an error it holds some of them.
        Bytes are checked and written on a thread. `progress`, `on_event` and cancelling as for `upload`. Raises
        DocumentNotFound, ChecksumMismatch, OSError.
        """
        options = self._calls.core.options
        reporter = Reporter(None, progress=progress, on_event=on_event, interval=options.progress_interval)
        operation = self._calls.transfer(timeout, header_id(None))
        with telling(reporter), self._calls.core.spans.operation("download", operation.request_id):
            reporter.started(document_id, operation.request_id)
            run = DownloadRun(document_id, DownloadCourse(operation.state, offset=offset, length=length), reporter)
            record = await download(self._calls, run, to, operation)
            reporter.finished(record)
            return record

    def download_chunks(
        self,
        document_id: str,
        *,
        offset: int = 0,
        length: int | None = None,
        timeout: float | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a document, or `length` of them from `offset`, piece by piece as they come.

        As `download` otherwise: every piece has been checked, but only the iterator's end says that the whole is
        right. Nothing more is fetched than what is asked for; close it (`aclose`) to end sooner.
        """
        operation = self._calls.transfer(timeout, header_id(None))
        reporter = Reporter(None, progress=None, on_event=None, interval=1.0)
        run = DownloadRun(document_id, DownloadCourse(operation.state, offset=offset, length=length), reporter)
        return chunks(self._calls, run, operation)

    async def get(self, document_id: str, *, timeout: float | None = None) -> Document:
        """A document's record. Raises DocumentNotFound."""
        request = documents.GetDocumentRequest(document_id=document_id)
        return _convert.document((await self._calls.call(_policies.GET_DOCUMENT, request, timeout=timeout)).document)

    async def list(
        self,
        *,
        status: ProcessingStatus | None = None,
        content_type: str | None = None,
        key_prefix: str | None = None,
        owner: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 100,
    ) -> AsyncGenerator[Document, None]:
        """The caller's documents, newest first, fetched page by page. Filters are combined with AND."""
        request = _requests.list_documents(
            status=status,
            content_type=content_type,
            key_prefix=key_prefix,
            owner=owner,
            created_after=created_after,
            created_before=created_before,
            page_size=page_size,
        )
        async for page in pages(self._calls, _policies.LIST_DOCUMENTS, request):
            for found in page.documents:
                yield _convert.document(found)

    async def delete(self, document_id: str, *, timeout: float | None = None) -> None:
        """Delete a document; repeating it is fine. Raises DocumentNotFound for what never was the caller's."""
        request = documents.DeleteDocumentRequest(document_id=document_id)
        await self._calls.call(_policies.DELETE_DOCUMENT, request, timeout=timeout)

    async def update_status(
        self,
        document_id: str,
        status: ProcessingStatus,
        *,
        error_message: str = "",
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Document:
        """Move a document along its processing states. A repeat with the same `request_id` changes nothing more."""
        request = _requests.update_status(document_id, status, error_message, request_id)
        answer = await self._calls.call(
            _policies.UPDATE_STATUS, request, timeout=timeout, request_id=request.request_id
        )
        return _convert.document(answer.document)

    async def stats(self, *, timeout: float | None = None) -> DocumentStats:
        """Counts over the caller's documents."""
        answer = await self._calls.call(_policies.GET_STATS, documents.GetDocumentStatsRequest(), timeout=timeout)
        return _convert.stats(answer.stats)

    # The audit trail

    async def events(
        self, document_id: str | None = None, *, upload_id: str | None = None, page_size: int = 100
    ) -> AsyncGenerator[Event, None]:
        """The audit trail, oldest first, of one document, of one upload session, or of everything."""
        request = _requests.list_events(document_id, upload_id, page_size)
        async for page in pages(self._calls, _policies.LIST_EVENTS, request):
            for found in page.events:
                yield _convert.event(found)

    def watch_events(
        self, document_id: str | None = None, *, cursor: str = "", timeout: float | None = None
    ) -> AsyncGenerator[Event, None]:
        """The audit trail from right after `cursor` (empty: from its beginning), and then as it grows, without end.

        A broken connection is taken up after the last entry that was seen: none is skipped, none repeated.
        After `timeout` seconds, where that is given, it raises DeadlineExceeded.
        """
        return _events.watch_events(self._calls, document_id or "", cursor, timeout)

    async def record_event(
        self,
        document_id: str,
        type: str,
        *,
        detail: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Event:
        """Add an entry of one's own to a document's audit trail. A repeat with the same `request_id` adds nothing."""
        request = _requests.record_event(document_id, type, detail, request_id)
        answer = await self._calls.call(
            _policies.RECORD_EVENT, request, timeout=timeout, request_id=request.request_id
        )
        return _convert.event(answer.event)
