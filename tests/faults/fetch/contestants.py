"""The two ways to call: generated stubs as grpc hands them out, and our client. Neither is told to be careful."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import grpc
from ledgerlift.v1 import document_pb2
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import DuplicatePolicy, LedgerLiftClient, LedgerLiftError, ProcessingStatus

from tests.support.raw_calls import documents
from tests.support.raw_uploads import FILENAME, messages, spec, uploads

TIMEOUT = 30.0
"""Seconds for a call of a plain stub. Our client takes no more for a short call with all its retries, by default."""
PAGE = 100


class Failed(Exception):
    """The operation failed, as a caller sees it; the text is its status."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a caller is told of a document."""

    document_id: str
    sha256: str
    size: int
    status: str
    duplicate: bool = False


class Contestant(Protocol):
    """One caller's way to call. Every method raises Failed."""

    def upload(self, data: bytes, *, content_type: str, request_id: str) -> Record:
        """Store a document; a second upload of the same bytes makes a second document."""

    def get(self, document_id: str) -> Record:
        """A document's record."""

    def list(self, content_type: str) -> list[Record]:
        """All documents of this type."""

    def download(self, document_id: str) -> str:
        """The SHA-256 of the bytes that came."""

    def set_status(self, document_id: str, status: str, *, request_id: str) -> Record:
        """Move the document to this status."""

    def close(self) -> None:
        """Hang up."""


class Plain:
    """Generated stubs over a channel of their own, with a deadline on each call; nothing is tried twice."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        """Without `credentials` in the clear."""
        # Each caller is to stand for a process: channels to one address would share their connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )

    def upload(self, data: bytes, *, content_type: str, request_id: str) -> Record:
        """See Contestant."""
        declared = spec(
            request_id,
            content_type=content_type,
            size=len(data),
            duplicate_policy=pb.DUPLICATE_POLICY_CREATE_NEW,
        )
        stream = messages(data, finish=True, spec=declared)
        with told():
            answer = uploads(self._channel).Upload(stream, timeout=TIMEOUT)
        return _record(answer.document, answer.duplicate)

    def get(self, document_id: str) -> Record:
        """See Contestant."""
        request = documents_pb.GetDocumentRequest(document_id=document_id)
        with told():
            return _record(documents(self._channel).GetDocument(request, timeout=TIMEOUT).document)

    def list(self, content_type: str) -> list[Record]:
        """See Contestant."""
        found: list[Record] = []
        token = ""
        while True:
            request = documents_pb.ListDocumentsRequest(content_type=content_type, page_size=PAGE, page_token=token)
            with told():
                page = documents(self._channel).ListDocuments(request, timeout=TIMEOUT)
            found += map(_record, page.documents)
            token = page.next_page_token
            if not token:
                return found

    def download(self, document_id: str) -> str:
        """See Contestant."""
        digest = hashlib.sha256()
        request = documents_pb.DownloadDocumentRequest(document_id=document_id)
        with told():
            for part in documents(self._channel).DownloadDocument(request, timeout=TIMEOUT):
                digest.update(part.chunk.data)
        return digest.hexdigest()

    def set_status(self, document_id: str, status: str, *, request_id: str) -> Record:
        """See Contestant."""
        request = documents_pb.UpdateProcessingStatusRequest(
            document_id=document_id,
            status=f"PROCESSING_STATUS_{status}",
            request_id=request_id,
        )
        with told():
            return _record(documents(self._channel).UpdateProcessingStatus(request, timeout=TIMEOUT).document)

    def close(self) -> None:
        """See Contestant."""
        self._channel.close()


class Ours:
    """`LedgerLiftClient` with its defaults."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        """Without `credentials` in the clear."""
        self._client = LedgerLiftClient(address, credentials=credentials)

    def upload(self, data: bytes, *, content_type: str, request_id: str) -> Record:
        """See Contestant."""
        return self._upload(data, content_type, request_id)

    def _upload(self, source: bytes | BinaryIO, content_type: str, request_id: str) -> Record:
        with told():
            result = self._client.upload(
                source,
                filename=FILENAME,
                content_type=content_type,
                request_id=request_id,
                duplicate_policy=DuplicatePolicy.CREATE_NEW,
            )
        return _record(result.document, result.duplicate)

    def get(self, document_id: str) -> Record:
        """See Contestant."""
        with told():
            return _record(self._client.get(document_id))

    def list(self, content_type: str) -> list[Record]:
        """See Contestant."""
        with told():
            return list(map(_record, self._client.list(content_type=content_type, page_size=PAGE)))

    def download(self, document_id: str) -> str:
        """See Contestant."""
        memory = io.BytesIO()
        with told():
            self._client.download(document_id, memory)
        return hashlib.sha256(memory.getvalue()).hexdigest()

    def set_status(self, document_id: str, status: str, *, request_id: str) -> Record:
        """See Contestant."""
        with told():
            return _record(self._client.update_status(document_id, ProcessingStatus(status), request_id=request_id))

    def close(self) -> None:
        """See Contestant."""
        self._client.close()


@contextmanager
def told() -> Iterator[None]:
    """Around a call: what either of them raises becomes Failed; anything else is nobody's failure but a defect."""
    try:
        yield
    except LedgerLiftError as error:
        raise Failed(error.reason or (error.code.name if error.code is not None else type(error).__name__)) from error
    except grpc.RpcError as error:
        call: Any = error
        raise Failed(call.code().name) from error


def _record(document: Any, duplicate: bool = False) -> Record:
    """Of either kind of document: the wire's, whose status is a number, or our client's."""
    status = document.status
    if isinstance(document, document_pb2.Document):
        status = document_pb2.ProcessingStatus.Name(document.status).removeprefix("PROCESSING_STATUS_")
    return Record(document.document_id, document.sha256, document.size, str(status), duplicate)
