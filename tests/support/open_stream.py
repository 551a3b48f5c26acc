"""One Upload call in the hands of a test: message by message, and it ends as it is told to."""

from __future__ import annotations

from dataclasses import dataclass
from queue import SimpleQueue

import grpc
from crc32c import crc32c
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_uploads import reason, uploads

PERSISTED_HEADER = "ledgerlift-persisted-size"
TIMEOUT = 60.0
"""Seconds. Nothing here takes long; a busy machine does."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: with a response, or with a code and the `reason` of its details."""

    code: grpc.StatusCode
    reason: str = ""
    response: pb.UploadResponse | None = None

    @property
    def kind(self) -> str:
        """`OK`, or code and reason."""
        return "OK" if self.code is grpc.StatusCode.OK else f"{self.code.name}/{self.reason}"


class OpenStream:
    """Goes on with a session; accepts that it does not commit. Blocking, by grpc's synchronous client."""

    def __init__(self, channel: grpc.Channel, upload_id: str) -> None:
        """The call begins, with a message that has no data."""
        self._messages: SimpleQueue[pb.UploadRequest | None] = SimpleQueue()
        self._messages.put(pb.UploadRequest(upload_id=upload_id, accept_partial=True))
        self._call = uploads(channel).Upload.future(iter(self._messages.get, None), timeout=TIMEOUT)
        self._call.add_done_callback(lambda _: self._messages.put(None))  # nobody waits for more

    def begun_at(self) -> int | None:
        """The durable size that the server announces when it has the session; None where it refuses it."""
        announced = dict(self._call.initial_metadata()).get(PERSISTED_HEADER)
        return None if announced is None else int(announced)

    def send(self, data: bytes, *, crc: int | None = None, offset: int | None = None) -> None:
        """One message; its CRC is right unless it is given."""
        crc = crc32c(data) if crc is None else crc
        self._messages.put(pb.UploadRequest(data=data, crc32c=crc, write_offset=offset))

    def finish(self, size: int, sha256: str) -> None:
        """What was sent is all, and this is said of it."""
        self._messages.put(pb.UploadRequest(finish_write=True, size=size, sha256=sha256))

    def end(self) -> Ending:
        """Send no more, and wait for the answer."""
        self._messages.put(None)
        return self.answer()

    def answer(self) -> Ending:
        """Wait for it."""
        try:
            response = self._call.result()
        except grpc.RpcError as error:
            return Ending(error.code(), reason(error))
        return Ending(grpc.StatusCode.OK, "", response)

    def leave(self) -> None:
        """Cancel: the server may well see a normal end of the stream (DESIGN section 4 rule 1)."""
        self._call.cancel()
        self._messages.put(None)
