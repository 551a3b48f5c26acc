"""The client, as its users see it. Each method translates and delegates; no protocol is decided here."""

from __future__ import annotations

import mimetypes
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import BinaryIO

import grpc
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import upload_service_pb2 as uploads

from ledgerlift_client import _convert, _convert_operations, _events, _policies
from ledgerlift_client._calls import Calls
from ledgerlift_client._channel import DEFAULT_TARGET, Interceptor, make_channel
from ledgerlift_client._downloader import download
from ledgerlift_client._models import (
    Document,
    DocumentStats,
    DuplicatePolicy,
    Event,
    ExistingDigest,
    Limits,
    ProcessingStatus,
    Upload,
    UploadResult,
    UploadSpec,
    UploadState,
)
from ledgerlift_client._operations_models import CircuitBreaker, HealthReport, StorageStats
from ledgerlift_client._options import MIB, ClientOptions
from ledgerlift_client._pages import pages
from ledgerlift_client._progress import Progress
from ledgerlift_client._sources import Source, SourceLike, open_source
from ledgerlift_client._upload_course import SegmentRule, UploadCourse
from ledgerlift_client._uploader import Uploader

UNKNOWN_TYPE = "application/octet-stream"
ASK_FIRST_ABOVE = 8 * MIB
"""Of a document smaller than one stored part (8 MiB by default) nothing can be durable before all of it is."""
_MOST_DIGESTS = 1000  # CheckDigestsRequest


class LedgerLiftClient:
    """Uploads, downloads and looks after documents.

        with LedgerLiftClient("127.0.0.1:50051") as client:
            result = client.upload("report.pdf")
            client.download(result.document.document_id, "copy.pdf")

    One client is one channel; make it once and share it between threads. Every method raises a
    LedgerLiftError of `errors.py`; every call has a deadline and is tried again where that is safe.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        options: ClientOptions | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        """`target` is `host:port`, or any name that gRPC knows. Without `credentials` the channel is in the clear."""
        self.target = target
        self.options = options or ClientOptions()
        self._calls = Calls(make_channel(target, self.options, credentials, interceptors), self.options)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[Interceptor] = (),
    ) -> LedgerLiftClient:
        """A client for `LEDGERLIFT_TARGET`, with options as `ClientOptions.from_env` reads them."""
        return cls(
            environ.get("LEDGERLIFT_TARGET") or DEFAULT_TARGET,
            options=ClientOptions.from_env(environ),
            credentials=credentials,
            interceptors=interceptors,
        )

    def close(self) -> None:
        """Close the channel. Calls that are running end."""
        self._calls.close()

    def __enter__(self) -> LedgerLiftClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Uploads

    def upload(
        self,
        source: SourceLike,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        duplicate_policy: DuplicatePolicy = DuplicatePolicy.RETURN_EXISTING,
        request_id: str | None = None,
        sha256: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        timeout: float | None = None,
    ) -> UploadResult:
        """Store a document; returns when it is durable.

        `source` is a path, bytes, or a binary file object (read from where it stands, not closed).
        `filename` defaults to the source's own name, `content_type` to what the name suggests.
        `request_id` makes the upload exactly-once: the same id with the same description goes on with what
        was begun, from any process, and answers the same document from then on (for as long as
        `limits().request_id_lifetime`). One is made where none is given; it is in the result, and, where it
        is plain ASCII, in every error as `request_id`.
        `sha256` (lower-case hex), where known, lets the server answer a duplicate before a byte is sent;
        else it is computed while sending. The server verifies it either way.
        `progress` is called on this thread, about once per MiB. `timeout` is for everything together.

        Raises LedgerLiftError; OSError and whatever else the source raises, as it is. After any of them, and
        after KeyboardInterrupt, what is durable stays for the same `request_id`, except after SourceChanged.
        """
        opened = self._open(source)
        try:
            name = filename or opened.name
            if not name:
                raise ValueError("filename is needed: the source has no name of its own")
            spec = UploadSpec(
                filename=name,
                content_type=content_type or mimetypes.guess_type(name)[0] or UNKNOWN_TYPE,
                size=opened.size,
                sha256=sha256 or "",
                key=key or "",
                metadata=dict(metadata or {}),
                duplicate_policy=DuplicatePolicy(duplicate_policy),
                request_id=request_id or str(uuid.uuid4()),
            )
            # A request id that the caller chose may be that of an upload which was begun before.
            ask_first = request_id is not None and (opened.size is None or opened.size > ASK_FIRST_ABOVE)
            return self._run(opened, spec, sha256, progress, timeout, ask_first=ask_first)
        finally:
            opened.close()

    def resume(
        self,
        upload_id: str,
        source: SourceLike,
        *,
        sha256: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        timeout: float | None = None,
    ) -> UploadResult:
        """Go on with a session from its durable size. `source` must give the document from its first byte.

        What is durable is not sent again, but read and hashed, so that the document as a whole is verified.
        Raises as `upload` does.
        """
        opened = self._open(source)
        try:
            spec = self.get_upload(upload_id).spec
            digest = sha256 or spec.sha256 or None
            return self._run(opened, spec, digest, progress, timeout, upload_id=upload_id)
        finally:
            opened.close()

    def get_upload(self, upload_id: str, *, timeout: float | None = None) -> Upload:
        """A session. Raises UploadNotFound."""
        request = uploads.GetUploadRequest(upload_id=upload_id)
        return _convert.upload(self._calls.call(_policies.GET_UPLOAD, request, timeout=timeout).upload)

    def list_uploads(
        self, *, request_id: str | None = None, state: UploadState | None = None, page_size: int = 100
    ) -> Iterator[Upload]:
        """The caller's sessions, newest first, fetched page by page."""
        request = uploads.ListUploadsRequest(page_size=page_size, request_id=request_id or "")
        if state is not None:
            request.state = _convert.state_number(state)  # type: ignore[assignment]  # a number, as on the wire
        for page in pages(self._calls, _policies.LIST_UPLOADS, request):
            yield from map(_convert.upload, page.uploads)

    def cancel_upload(self, upload_id: str, *, timeout: float | None = None) -> Upload:
        """Give a session up; repeating it is fine. Raises UploadNotFound, UploadAlreadyCommitted."""
        request = uploads.CancelUploadRequest(upload_id=upload_id)
        return _convert.upload(self._calls.call(_policies.CANCEL_UPLOAD, request, timeout=timeout).upload)

    def check_digests(self, digests: Sequence[str], *, timeout: float | None = None) -> dict[str, ExistingDigest]:
        """Of these digests, those that the caller has a document of."""
        found: dict[str, ExistingDigest] = {}
        for start in range(0, len(digests), _MOST_DIGESTS):
            request = uploads.CheckDigestsRequest(sha256=digests[start : start + _MOST_DIGESTS])
            answer = self._calls.call(_policies.CHECK_DIGESTS, request, timeout=timeout)
            found.update((item.sha256, _convert.existing(item)) for item in answer.existing)
        return found

    def limits(self, *, timeout: float | None = None) -> Limits:
        """The bounds that the server sets."""
        answer = self._calls.call(_policies.GET_LIMITS, uploads.GetLimitsRequest(), timeout=timeout)
        return _convert.limits(answer.limits)

    # Documents

    def download(
        self,
        document_id: str,
        to: str | os.PathLike[str] | BinaryIO,
        *,
        offset: int = 0,
        length: int | None = None,
        progress: Callable[[Progress], None] | None = None,
        timeout: float | None = None,
    ) -> Document:
        """Fetch a document, or `length` bytes of it from `offset`, into a file or a binary file object.

        Every chunk's CRC-32C and the whole document's SHA-256 are checked; a broken connection is taken up
        from the last good byte. A path is written beside its place and put there, synced, only when it is
        whole and right. A file object gets the bytes as they come: after an error it holds some of them.
        """
        return download(
            self._calls, document_id, to, offset=offset, length=length, timeout=timeout, progress=progress
        )

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
        request = documents.ListDocumentsRequest(
            page_size=page_size, content_type=content_type or "", key_prefix=key_prefix or "", owner=owner or ""
        )
        if status is not None:
            request.status = _convert.status_number(status)  # type: ignore[assignment]  # a number, as on the wire
        if created_after is not None:
            request.created_after.CopyFrom(_convert.timestamp(created_after))
        if created_before is not None:
            request.created_before.CopyFrom(_convert.timestamp(created_before))
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
        wanted = request_id or str(uuid.uuid4())
        request = documents.UpdateProcessingStatusRequest(
            document_id=document_id, error_message=error_message, request_id=wanted
        )
        request.status = _convert.status_number(status)  # type: ignore[assignment]  # a number, as on the wire
        answer = self._calls.call(_policies.UPDATE_STATUS, request, timeout=timeout, request_id=wanted)
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
        request = documents.ListEventsRequest(
            document_id=document_id or "", upload_id=upload_id or "", page_size=page_size
        )
        for page in pages(self._calls, _policies.LIST_EVENTS, request):
            yield from map(_convert.event, page.events)

    def watch_events(self, document_id: str | None = None, *, cursor: str = "") -> Iterator[Event]:
        """The audit trail from right after `cursor` (empty: from its beginning), and then as it grows, without end.

        A broken connection is taken up after the last entry that was seen: none is skipped, none repeated.
        """
        return _events.watch(self._calls, document_id or "", cursor)

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
        wanted = request_id or str(uuid.uuid4())
        request = documents.RecordEventRequest(
            document_id=document_id, type=type, detail=dict(detail or {}), request_id=wanted
        )
        answer = self._calls.call(_policies.RECORD_EVENT, request, timeout=timeout, request_id=wanted)
        return _convert.event(answer.event)

    # The service itself, for operators

    def health(self, *, timeout: float | None = None) -> HealthReport:
        """The report of the process that answers, made in the background: none of it waits for a dependency."""
        answer = self._calls.call(_policies.GET_HEALTH, operations.GetHealthRequest(), timeout=timeout)
        return _convert_operations.health_report(answer.report)

    def circuit_breakers(self, *, timeout: float | None = None) -> tuple[CircuitBreaker, ...]:
        """The breakers of the server's process that answers, by name."""
        request = operations.GetCircuitBreakersRequest()
        answer = self._calls.call(_policies.GET_BREAKERS, request, timeout=timeout)
        return tuple(map(_convert_operations.breaker, answer.breakers))

    def reset_circuit_breaker(self, name: str, *, timeout: float | None = None) -> CircuitBreaker:
        """Close a breaker of the server's process that answers. Raises InvalidArgument for a name it has not."""
        request = operations.ResetCircuitBreakerRequest(name=name)
        answer = self._calls.call(_policies.RESET_BREAKER, request, timeout=timeout)
        return _convert_operations.breaker(answer.breaker)

    def storage_stats(self, *, timeout: float | None = None) -> StorageStats:
        """What the server's process that answers asked of the object store, and how long that took."""
        request = operations.GetStorageStatsRequest()
        answer = self._calls.call(_policies.GET_STORAGE_STATS, request, timeout=timeout)
        return _convert_operations.storage_stats(answer.stats)

    def _open(self, source: SourceLike) -> Source:
        return open_source(source, replay=self.options.replay_buffer, peek=self.options.message_size)

    def _run(
        self,
        source: Source,
        spec: UploadSpec,
        sha256: str | None,
        progress: Callable[[Progress], None] | None,
        timeout: float | None,
        *,
        upload_id: str | None = None,
        ask_first: bool = False,
    ) -> UploadResult:
        state = self._calls.transfer_state(timeout)
        rule = SegmentRule(source.size, self.options.segment_size, source.replay)
        return Uploader(
            self._calls,
            UploadCourse(rule, state, upload_id=upload_id, ask_first=ask_first),
            source,
            spec,
            sha256=sha256,
            owns_session=upload_id is None,
            timeout=state.time_left,
            progress=progress,
        ).run()
