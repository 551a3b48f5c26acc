"""A small real gRPC server that speaks LedgerLift's upload and download protocol in memory, and breaks on request.

For what a healthy server cannot be made to do at a given byte: end a call with a code of the test's choice, lose
an answer, send damaged chunks. It checks what arrives as the service does (offsets, CRC, size, digest).
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from crc32c import crc32c
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from ledgerlift.v1 import document_pb2, document_service_pb2_grpc, upload_service_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import upload_service_pb2 as uploads


@dataclass(slots=True)
class Fault:
    """What one call is to do wrong, once.

    `after` counts bytes of the call before it happens. `code` None lets an Upload end early with OK and
    `stop_reason`, a download end early without its summary. `commit_first`: the work is done, only its answer
    is lost. `hang` keeps the call without an answer for so many seconds, or until it is cancelled.
    """

    code: grpc.StatusCode | None = grpc.StatusCode.UNAVAILABLE
    after: int = 0
    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    pushback: str | None = None
    stop_reason: int = uploads.STOP_REASON_UNSPECIFIED
    commit_first: bool = False
    hide_upload_id: bool = False
    hang: float = 0.0
    damage: bool = False
    do: Any = None
    """Called with the peer at the moment of the fault."""


@dataclass(slots=True)
class Session:
    """An upload session: what is durable of it is `data`."""

    upload_id: str
    spec: uploads.UploadSpec
    state: int = uploads.UPLOAD_STATE_ACTIVE
    data: bytearray = field(default_factory=bytearray)
    document_id: str = ""
    holder: int = 0
    error: str = ""


class UploadPeer(upload_service_pb2_grpc.UploadServiceServicer, document_service_pb2_grpc.DocumentServiceServicer):
    """The server. Use as a context manager; `target` is where it listens."""

    def __init__(self, *, part_size: int = 64, segment_size: int = 256, chunk_size: int = 100) -> None:
        self.part_size = part_size
        self.segment_size = segment_size
        self.chunk_size = chunk_size
        self.sessions: dict[str, Session] = {}
        self.documents: dict[str, tuple[document_pb2.Document, bytes]] = {}
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.calls: list[str] = []
        self.headers: list[Mapping[str, str | bytes]] = []
        self.allowed: list[float] = []
        """Seconds that each of `calls` was given by its deadline."""
        self.received: list[list[tuple[int, int]]] = []
        """`(offset, length)` of every message, by Upload call."""
        self.hanging = threading.Event()
        self.abandoned = threading.Event()
        """Set when a hanging call was given up by its client."""
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        upload_service_pb2_grpc.add_UploadServiceServicer_to_server(self, self._server)
        document_service_pb2_grpc.add_DocumentServiceServicer_to_server(self, self._server)
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> UploadPeer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    def fail(self, method: str, *faults: Fault) -> None:
        """The next calls of `method` go wrong like this, one each."""
        self.faults[method].extend(faults)

    def count(self, method: str) -> int:
        """How often `method` was called."""
        return self.calls.count(method)

    # UploadService

    def CreateUpload(self, request: Any, context: Any) -> Any:
        """Opens a session or finds the one of the request id."""
        fault = self._called("CreateUpload", context)
        if fault and not fault.commit_first:
            self._abort(fault, context)
        session = self._session_of(request.spec)
        if fault:
            self._abort(fault, context)
        found = self.documents.get(session.document_id)
        return uploads.CreateUploadResponse(upload=self._upload(session), document=found[0] if found else None)

    def GetUpload(self, request: Any, context: Any) -> Any:
        """A session."""
        fault = self._called("GetUpload", context)
        if fault:
            self._abort(fault, context)
        session = self.sessions.get(request.upload_id)
        if session is None:
            self._abort(Fault(grpc.StatusCode.NOT_FOUND, reason="UPLOAD_NOT_FOUND"), context)
            raise AssertionError
        found = self.documents.get(session.document_id)
        return uploads.GetUploadResponse(upload=self._upload(session), document=found[0] if found else None)

    def CancelUpload(self, request: Any, context: Any) -> Any:
        """Gives a session up."""
        self._called("CancelUpload", context)
        session = self.sessions[request.upload_id]
        session.state = uploads.UPLOAD_STATE_CANCELLED
        return uploads.CancelUploadResponse(upload=self._upload(session))

    def Upload(self, request_iterator: Iterator[Any], context: Any) -> Any:
        """The protocol of DESIGN section 4, as far as a client can tell."""
        fault = self._called("Upload", context)
        messages: list[tuple[int, int]] = []
        with self._lock:
            self.received.append(messages)
        first = next(request_iterator)
        if fault and not fault.after and not fault.commit_first and not fault.hide_upload_id:
            self._abort(fault, context)
        session = self._target(first, context)
        with self._lock:
            session.holder += 1
            mine = session.holder
        if not (fault and fault.hide_upload_id):
            context.send_initial_metadata(
                (
                    ("ledgerlift-upload-id", session.upload_id),
                    ("ledgerlift-persisted-size", str(len(session.data))),
                )
            )
        if session.state != uploads.UPLOAD_STATE_ACTIVE:
            return self._final(session, context)
        buffer = bytearray(session.data)
        position, taken, last = None, 0, None
        for message in self._then(first, request_iterator):
            offset = message.write_offset if message.HasField("write_offset") else (position or 0)
            expected = position if position is not None else len(session.data)
            if offset != expected and not (position is None and offset < len(session.data)):
                facts = {"expected_offset": str(expected)}
                self._abort(Fault(grpc.StatusCode.OUT_OF_RANGE, reason="OFFSET_GAP", facts=facts), context)
            if message.HasField("crc32c") and crc32c(message.data) != message.crc32c:
                self._abort(Fault(grpc.StatusCode.INVALID_ARGUMENT, reason="CHECKSUM_MISMATCH"), context)
            buffer[offset : offset + len(message.data)] = message.data
            position = offset + len(message.data)
            messages.append((offset, len(message.data)))
            taken += len(message.data)
            if fault and not fault.commit_first and taken >= fault.after:
                self._keep(session, buffer, mine)
                return self._interrupt(fault, session, context)
            if message.finish_write:
                last = message
                break
        self._keep(session, buffer, mine)
        if fault and fault.after and last is None and not taken:  # it waits for a call that brings bytes
            self.faults["Upload"].appendleft(fault)
        if last is None:
            return uploads.UploadResponse(upload=self._upload(session), stop_reason=uploads.STOP_REASON_SEGMENT_END)
        self._commit(session, bytes(buffer), last)
        if fault:
            self._abort(fault, context)
        return self._final(session, context, bytes_received=taken)

    # DocumentService

    def GetDocument(self, request: Any, context: Any) -> Any:
        """A document."""
        fault = self._called("GetDocument", context)
        if fault:
            self._abort(fault, context)
        if request.document_id not in self.documents:
            self._abort(Fault(grpc.StatusCode.NOT_FOUND, reason="DOCUMENT_NOT_FOUND"), context)
        return documents.GetDocumentResponse(document=self.documents[request.document_id][0])

    def DownloadDocument(self, request: Any, context: Any) -> Iterator[Any]:
        """Record, chunks, summary."""
        fault = self._called("DownloadDocument", context)
        if fault and not fault.after:
            self._abort(fault, context)
        record, data = self.documents[request.document_id]
        end = len(data) if not request.HasField("length") else min(len(data), request.offset + request.length)
        yield documents.DownloadDocumentResponse(document=record)
        sent = 0
        for offset in range(request.offset, end, self.chunk_size):
            piece = data[offset : min(end, offset + self.chunk_size)]
            checksum = crc32c(piece)
            if fault and sent >= fault.after:
                if not fault.damage:
                    if fault.code is None:
                        return
                    self._abort(fault, context)
                checksum ^= 1
            sent += len(piece)
            yield documents.DownloadDocumentResponse(
                chunk=documents.DownloadChunk(offset=offset, data=piece, crc32c=checksum)
            )
        yield documents.DownloadDocumentResponse(
            summary=documents.DownloadSummary(sha256=record.sha256, size=record.size)
        )

    def WatchEvents(self, request: Any, context: Any) -> Iterator[Any]:
        """Ten events whose cursors are their numbers."""
        fault = self._called("WatchEvents", context)
        first = int(request.cursor or "0") + 1
        for number in range(first, 11):
            if fault and number - first >= fault.after:
                self._abort(fault, context)
            yield documents.WatchEventsResponse(
                event=document_pb2.Event(event_id=f"e{number}", type="test", cursor=str(number))
            )

    # Inside

    def add_document(self, data: bytes, sha256: str | None = None) -> str:
        """A document that is simply there."""
        document_id = str(uuid.uuid4())
        record = document_pb2.Document(
            document_id=document_id,
            filename="a.bin",
            content_type="application/octet-stream",
            size=len(data),
            sha256=sha256 or hashlib.sha256(data).hexdigest(),
        )
        self.documents[document_id] = (record, data)
        return document_id

    def stored(self, document_id: str) -> bytes:
        """A document's bytes."""
        return self.documents[document_id][1]

    def _called(self, method: str, context: Any) -> Fault | None:
        with self._lock:
            self.calls.append(method)
            self.headers.append(dict(context.invocation_metadata()))
            self.allowed.append(context.time_remaining())
            fault = self.faults[method].popleft() if self.faults[method] else None
        if fault is not None and fault.hang:
            self.hanging.set()
            until = time.monotonic() + fault.hang
            while context.is_active() and time.monotonic() < until:
                time.sleep(0.01)
            if not context.is_active():
                self.abandoned.set()
        return fault

    def _session_of(self, spec: Any) -> Session:
        dead = (
            uploads.UPLOAD_STATE_FAILED,
            uploads.UPLOAD_STATE_CANCELLED,
            uploads.UPLOAD_STATE_EXPIRED,
        )
        with self._lock:
            for session in self.sessions.values():
                if spec.request_id and session.spec.request_id == spec.request_id and session.state not in dead:
                    return session
            session = Session(str(uuid.uuid4()), spec)
            self.sessions[session.upload_id] = session
            return session

    def _target(self, first: Any, context: Any) -> Session:
        if first.WhichOneof("target") == "spec":
            return self._session_of(first.spec)
        if first.upload_id not in self.sessions:
            self._abort(Fault(grpc.StatusCode.NOT_FOUND, reason="UPLOAD_NOT_FOUND"), context)
        return self.sessions[first.upload_id]

    @staticmethod
    def _then(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
        if first.data or first.finish_write or first.HasField("write_offset"):
            yield first
        yield from rest

    def _keep(self, session: Session, buffer: bytearray, holder: int) -> None:
        """What a server has made durable: whole parts, and only for the newest stream."""
        durable = len(buffer) // self.part_size * self.part_size
        with self._lock:
            if session.holder == holder and durable > len(session.data):
                session.data = buffer[:durable]

    def _interrupt(self, fault: Fault, session: Session, context: Any) -> Any:
        if fault.do is not None:
            fault.do(self)
        if fault.code is None:
            return uploads.UploadResponse(upload=self._upload(session), stop_reason=fault.stop_reason)
        self._abort(fault, context)
        raise AssertionError

    def _commit(self, session: Session, data: bytes, last: Any) -> None:
        digest = hashlib.sha256(data).hexdigest()
        declared = {d for d in (session.spec.sha256, last.sha256) if d}
        sizes = {last.size} | ({session.spec.size} if session.spec.HasField("size") else set())
        if declared - {digest}:
            session.state, session.error = uploads.UPLOAD_STATE_FAILED, "CHECKSUM_MISMATCH"
        elif sizes != {len(data)}:
            session.error = "SIZE_MISMATCH"
        else:
            session.document_id = self.add_document(data)
            session.state = uploads.UPLOAD_STATE_COMMITTED

    def _final(self, session: Session, context: Any, bytes_received: int = 0) -> Any:
        if session.state != uploads.UPLOAD_STATE_COMMITTED:
            reason = session.error or "UPLOAD_EXPIRED"
            code = grpc.StatusCode.INVALID_ARGUMENT if session.error else grpc.StatusCode.FAILED_PRECONDITION
            self._abort(Fault(code, reason=reason), context)
        record, _ = self.documents[session.document_id]
        return uploads.UploadResponse(
            document=record,
            receipt=uploads.UploadReceipt(bytes_received=bytes_received, part_count=1, sha256=record.sha256),
        )

    def _upload(self, session: Session) -> Any:
        return uploads.Upload(
            upload_id=session.upload_id,
            state=session.state,  # type: ignore[arg-type]  # a number, as on the wire
            spec=session.spec,
            persisted_size=len(session.data),
            part_size=self.part_size,
            segment_size=self.segment_size,
            document_id=session.document_id,
        )

    def _abort(self, fault: Fault, context: Any) -> None:
        status = status_pb2.Status(code=(fault.code or grpc.StatusCode.UNKNOWN).value[0], message="as the test asked")
        details: list[Message] = []
        if fault.reason:
            details.append(
                error_details_pb2.ErrorInfo(reason=fault.reason, domain="ledgerlift", metadata=dict(fault.facts))
            )
        if fault.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(fault.retry_after * 1000))
            details.append(retry)
        for detail in details:
            status.details.add().Pack(detail)
        trailers: list[tuple[str, str | bytes]] = []
        if details:
            trailers.append(("grpc-status-details-bin", status.SerializeToString()))
        if fault.pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", fault.pushback))
        context.set_trailing_metadata(tuple(trailers))
        context.abort(fault.code or grpc.StatusCode.UNKNOWN, "as the test asked")
