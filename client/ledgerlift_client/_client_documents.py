"""Documents and their audit trail, as users of the client see them. Each method translates and delegates."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import datetime
from typing import BinaryIO

from ledgerlift.v1 import document_service_pb2 as documents

from ledgerlift_client import _convert, _events, _policies, _requests
from ledgerlift_client._calls import Calls
from ledgerlift_client._cancel import CancelToken
from ledgerlift_client._core import header_id
from ledgerlift_client._download_course import DownloadCourse
from ledgerlift_client._download_run import DownloadRun
from ledgerlift_client._downloader import chunks, download
from ledgerlift_client._models import Document, DocumentStats, Event, ProcessingStatus
from ledgerlift_client._pages import pages
from ledgerlift_client._progress import Progress
from ledgerlift_client._transfer_events import Reporter, TransferEvent, telling


class DocumentMethods:
    """The part of `LedgerLiftClient` that is about documents."""

    _calls: Calls

    def download(
        self,
        document_id: str,
        to: str | os.PathLike[str] | BinaryIO,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        on_event: Callable[[TransferEvent], None] | None = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> Document:
        """Fetch a document, or `length` bytes of it from `offset`, into a file or a binary file object.

        Every chunk's CRC-32C and the whole document's SHA-256 are checked; a broken connection is taken up
        from the last good byte. A path is written beside its place and put there, synced, only when it is
        whole and right. A file object gets the bytes as they come: after an error it holds some of them.
        `progress`, `on_event` and `cancel` as for `upload`. Raises DocumentNotFound, ChecksumMismatch, OSError.
        """
        options = self._calls.core.options
        reporter = Reporter(None, progress=progress, on_event=on_event, interval=options.progress_interval)
        operation = self._calls.transfer(timeout, header_id(None), cancel)
        with telling(reporter), self._calls.core.spans.operation("download", operation.request_id):
            reporter.started(document_id, operation.request_id)
            run = DownloadRun(document_id, DownloadCourse(operation.state, offset=offset, length=length), reporter)
            record = download(self._calls, run, to, operation)
            reporter.finished(record)
            return record

    def download_chunks(
        self,
        document_id: str,
        *,
        offset: int = 0,
        length: int | None = None,
        cancel: CancelToken | None = None,
        timeout: float | None = None,
    ) -> Generator[bytes, None, None]:
        """The bytes of a document, or `length` of them from `offset`, piece by piece as they come.

        As `download` otherwise: every piece has been checked, but only the iterator's end says that the whole is
        right. Nothing more is fetched than what is asked for; close it to end sooner.
        """
        operation = self._calls.transfer(timeout, header_id(None), cancel)
        reporter = Reporter(None, progress=None, on_event=None, interval=1.0)
        run = DownloadRun(document_id, DownloadCourse(operation.state, offset=offset, length=length), reporter)
        return chunks(self._calls, run, operation)

    def get(self, document_id: str, *, timeout: float | None = None) -> Document:
        """A document's record. Raises DocumentNotFound."""
        request = documents.GetDocumentRequest(document_id=document_id)
        return _convert.document(self._calls.call(_policies.GET_DOCUMENT, request, timeout=timeout).document)

    def list(
        self,
        *,
        status: ProcessingStatus | None = None,
        content_type: str | None = None,
        key_prefix: str | None = None,
        owner: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[Document]:
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
        for page in pages(self._calls, _policies.LIST_DOCUMENTS, request):
            yield from map(_convert.document, page.documents)

    def delete(self, document_id: str, *, timeout: float | None = None) -> None:
        """Delete a document; repeating it is fine. Raises DocumentNotFound for what never was the caller's."""
        request = documents.DeleteDocumentRequest(document_id=document_id)
        self._calls.call(_policies.DELETE_DOCUMENT, request, timeout=timeout)

    def update_status(
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
        answer = self._calls.call(_policies.UPDATE_STATUS, request, timeout=timeout, request_id=request.request_id)
        return _convert.document(answer.document)

    def stats(self, *, timeout: float | None = None) -> DocumentStats:
        """Counts over the caller's documents."""
        answer = self._calls.call(_policies.GET_STATS, documents.GetDocumentStatsRequest(), timeout=timeout)
        return _convert.stats(answer.stats)

    # The audit trail

    def events(
        self, document_id: str | None = None, *, upload_id: str | None = None, page_size: int = 100
    ) -> Iterator[Event]:
        """The audit trail, oldest first, of one document, of one upload session, or of everything."""
        request = _requests.list_events(document_id, upload_id, page_size)
        for page in pages(self._calls, _policies.LIST_EVENTS, request):
            yield from map(_convert.event, page.events)

    def watch_events(
        self, document_id: str | None = None, *, cursor: str = "", timeout: float | None = None
    ) -> Iterator[Event]:
        """The audit trail from right after `cursor` (empty: from its beginning), and then as it grows, without end.

        A broken connection is taken up after the last entry that was seen: none is skipped, none repeated.
        After `timeout` seconds, where that is given, it raises DeadlineExceeded.
        """
        return _events.watch_events(self._calls, document_id or "", cursor, timeout)

    def record_event(
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
        answer = self._calls.call(_policies.RECORD_EVENT, request, timeout=timeout, request_id=request.request_id)
        return _convert.event(answer.event)
