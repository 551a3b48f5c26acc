"""The messages of an Upload call, one outstanding read at a time: `MessageSource` over grpc.aio.

The read is a task of its own, so that a call can wait for it beside a drain, a stall or a failure. It is
never cancelled, neither to be resumed nor at the end:

- A cancelled read ends the stream: whoever reads on sees an end that the client never sent.
- What arrives for a cancelled read is never freed. Measured on grpcio 1.85: 1 MiB of every call that was
  answered while its client was sending 1 MiB messages. Left alone, the read ends when the status is sent.

An end is not a success. A client that cancels, dies or runs out of time looks here like one that has sent
everything; the cancellation of the call follows some turns of the loop later, or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ledgerlift_server.domain.upload_message import UploadMessage
from ledgerlift_server.domain.validation import Violations
from ledgerlift_server.errors import FieldViolation, InvalidRequest
from ledgerlift_server.rpc import convert
from ledgerlift_server.rpc.wire_reader import MalformedMessage, WireMessage


class RequestStream:
    """One call's messages. Belongs to the loop that runs the call."""

    def __init__(self, requests: AsyncIterator[WireMessage]) -> None:
        """`requests` is the handler's request iterator, whose deserializer is `read_upload_request`."""
        self._requests = requests
        self._read: asyncio.Task[UploadMessage | None] | None = None
        self._taken: UploadMessage | None = None
        self._closed = False

    def pending(self) -> asyncio.Future[UploadMessage | None]:
        """The outstanding read; begun when there is none. Its result is None at the end of the stream."""
        assert not self._closed, "a closed stream is not read"
        if self._read is None:
            self._let_go()
            self._read = asyncio.create_task(self._next())
            self._read.add_done_callback(_look_at_failure)
        return self._read

    def take(self) -> UploadMessage | None:
        """Consume the outstanding read, which must be done. Raises what the read raised (InvalidRequest).

        The end of the stream and a failure stay: there is no message behind them.
        """
        assert self._read is not None, "take() follows pending()"
        message = self._read.result()
        if message is not None:
            self._read, self._taken = None, message
        return message

    def close(self) -> None:
        """Read no more. An outstanding read ends by itself, and nobody hears of it."""
        self._closed = True
        self._read = None
        self._let_go()

    def _let_go(self) -> None:
        """Free the data of the last message. By itself it would stay until the next one is there, for grpc's iterator
        remembers what it has yielded: 1 MiB for every stream whose client sends messages of that size."""
        taken, self._taken = self._taken, None
        if taken is not None and taken.data:  # messages without data share an empty view
            taken.data.release()

    async def _next(self) -> UploadMessage | None:
        try:
            message = await anext(self._requests, None)
        except MalformedMessage as malformed:
            raise InvalidRequest([FieldViolation("request", "is not an UploadRequest")]) from malformed
        return None if message is None else _upload_message(message)


def _upload_message(message: WireMessage) -> UploadMessage:
    """Unset on the wire is None in the domain. Raises InvalidRequest for what the domain has no form of."""
    found = Violations()
    spec = None if message.spec is None else convert.upload_spec(message.spec, found)
    found.raise_if_any()
    return UploadMessage(
        target=message.upload_id if spec is None else spec,
        accept_partial=message.accept_partial,
        offset=message.write_offset,
        data=message.data,
        crc32c=message.crc32c,
        finish=message.finish_write,
        sha256=message.sha256 or None,
        size=message.size,
    )


def _look_at_failure(read: asyncio.Task[UploadMessage | None]) -> None:
    """A failure that nobody takes, for the call has its answer already, is not reported by the loop."""
    if not read.cancelled():
        read.exception()
