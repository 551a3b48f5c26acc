"""The messages of an Upload call as any gRPC client may send them, without our client library's care."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import grpc
from crc32c import crc32c
from google.rpc import error_details_pb2, status_pb2
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift.v1 import upload_service_pb2_grpc

FILENAME = "a.bin"
CONTENT_TYPE = "application/octet-stream"
UPLOAD_ID_HEADER = "ledgerlift-upload-id"
PERSISTED_SIZE_HEADER = "ledgerlift-persisted-size"
MESSAGE_SIZE = 256 * 1024


def content(seed: int, size: int) -> bytes:
    """Bytes that this seed alone makes, in any process."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - to be made again, not to be secret


def spec(request_id: str = "", **declared: Any) -> pb.UploadSpec:
    """What is said of a document of unknown size and digest, but for what is declared."""
    usual = {"filename": FILENAME, "content_type": CONTENT_TYPE}
    return pb.UploadSpec(**(usual | declared), request_id=request_id)


def messages(
    data: bytes | memoryview,
    start: int = 0,
    stop: int | None = None,
    *,
    size: int = MESSAGE_SIZE,
    finish: bool = False,
    **first: Any,
) -> Iterator[pb.UploadRequest]:
    """`data` from `start` to `stop`, in messages of `size`. `first` goes into the first: `spec` or `upload_id`, ...

    `finish`: the last message says that the document ends with it.
    """
    stop = len(data) if stop is None else stop
    positions = range(start, stop, size) or [start]
    for position in positions:
        piece = bytes(data[position : min(position + size, stop)])
        last = position == positions[-1]
        yield pb.UploadRequest(
            **(first if position == start else {}),
            write_offset=position,
            data=piece,
            crc32c=crc32c(piece),
            finish_write=finish and last,
        )


def uploads(channel: Any) -> Any:
    """The stub, of either kind of channel. Untyped, as grpc generates it."""
    return upload_service_pb2_grpc.UploadServiceStub(channel)


class OpenUpload:
    """An Upload call that stays open: it sends what it is given, and never ends its stream by itself.

    By grpc's synchronous client: the asyncio one turns a refusal that comes while it sends into INTERNAL
    (grpc#36066).
    """

    def __init__(self, channel: grpc.Channel, *, timeout: float) -> None:
        """The call begins with its first message."""
        self._messages: SimpleQueue[pb.UploadRequest | None] = SimpleQueue()
        self._call = uploads(channel).Upload.future(iter(self._messages.get, None), timeout=timeout)
        self._call.add_done_callback(lambda _: self._messages.put(None))  # nobody waits for more

    def send(self, messages: Iterable[pb.UploadRequest]) -> None:
        """Queue them; a call that is over does not send them."""
        for message in messages:
            self._messages.put(message)

    def upload_id(self) -> str:
        """As the server announces it; blocks until then."""
        return str(dict(self._call.initial_metadata())[UPLOAD_ID_HEADER])

    def persisted_size(self) -> int:
        """As the server announces it; blocks until the stream holds its session. KeyError: it was refused."""
        return int(dict(self._call.initial_metadata())[PERSISTED_SIZE_HEADER])

    def answer(self) -> pb.UploadResponse:
        """Blocks. Raises grpc.RpcError."""
        response: pb.UploadResponse = self._call.result()
        return response


def until_durable(channel: grpc.Channel, upload_id: str, size: int, *, timeout: float) -> None:
    """Block until the ledger has `size` bytes of the upload."""
    watch = uploads(channel).WatchUpload(pb.WatchUploadRequest(upload_id=upload_id), timeout=timeout)
    for seen in watch:
        if seen.upload.persisted_size >= size:
            watch.cancel()
            return
    raise AssertionError(f"the watch ended before {size} bytes were durable")


def reason(error: Any) -> str:
    """The `reason` of a refusal's ErrorInfo; empty where there is none."""
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            return info.reason
    return ""


def facts(error: Any) -> dict[str, str]:
    """The metadata of a refusal's ErrorInfo."""
    for detail in _details(error):
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            return dict(info.metadata)
    return {}


def retry_after(error: Any) -> float | None:
    """Seconds of a refusal's RetryInfo; None where there is none."""
    for detail in _details(error):
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info = error_details_pb2.RetryInfo()
            detail.Unpack(info)
            return info.retry_delay.ToTimedelta().total_seconds()
    return None


def _details(error: Any) -> Any:
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value).details
    return []
