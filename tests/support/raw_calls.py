"""What tests of the wire begin with: a document, a session, its state, and the bytes back, over plain stubs."""

from __future__ import annotations

import hashlib
from typing import Any

from ledgerlift.v1 import document_service_pb2, document_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_uploads import messages, spec, uploads

TIMEOUT = 60


def documents(channel: Any) -> Any:
    """The stub, of either kind of channel. Untyped, as grpc generates it."""
    return document_service_pb2_grpc.DocumentServiceStub(channel)


def digest(data: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


async def store(channel: Any, data: bytes, **declared: Any) -> Any:
    """The answer to an upload of `data` in one call."""
    stream = messages(data, finish=True, spec=spec(**declared))
    return await uploads(channel).Upload(stream, timeout=TIMEOUT)


async def begin(channel: Any, **declared: Any) -> str:
    """The id of a session of CreateUpload."""
    answer = await uploads(channel).CreateUpload(pb.CreateUploadRequest(spec=spec(**declared)), timeout=TIMEOUT)
    upload_id: str = answer.upload.upload_id
    return upload_id


async def session(channel: Any, upload_id: str) -> tuple[str, int]:
    """State and durable size."""
    answer = await uploads(channel).GetUpload(pb.GetUploadRequest(upload_id=upload_id), timeout=TIMEOUT)
    return pb.UploadState.Name(answer.upload.state).removeprefix("UPLOAD_STATE_"), answer.upload.persisted_size


async def until_durable(channel: Any, upload_id: str, size: int) -> None:
    """Return once so many bytes of the session are."""
    watch = uploads(channel).WatchUpload(pb.WatchUploadRequest(upload_id=upload_id), timeout=TIMEOUT)
    async for seen in watch:
        if seen.upload.persisted_size >= size:
            watch.cancel()
            return
    raise AssertionError("the watch ended before")


async def until_ended(channel: Any, upload_id: str) -> str:
    """The session's last state, once it has come to one."""
    watch = uploads(channel).WatchUpload(pb.WatchUploadRequest(upload_id=upload_id), timeout=TIMEOUT)
    seen = [answer.upload.state async for answer in watch]
    return pb.UploadState.Name(seen[-1]).removeprefix("UPLOAD_STATE_")


async def fetch(channel: Any, document_id: str, **options: Any) -> bytes:
    """A document's bytes."""
    request = document_service_pb2.DownloadDocumentRequest(document_id=document_id)
    parts = documents(channel).DownloadDocument(request, timeout=TIMEOUT, **options)
    return b"".join([part.chunk.data async for part in parts])


async def delete(channel: Any, document_id: str, **options: Any) -> None:
    """Remove a document."""
    request = document_service_pb2.DeleteDocumentRequest(document_id=document_id)
    await documents(channel).DeleteDocument(request, timeout=TIMEOUT, **options)
