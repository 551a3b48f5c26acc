"""One message of an upload as the domain sees it, and where such messages come from."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from ledgerlift_server.domain.upload_models import UploadSpec


@dataclass(slots=True)
class UploadMessage:
    """One message. `target` is the spec or the upload id that only a stream's first message may carry.

    `offset` is None where the message goes on right after the one before. `data` is borrowed: it is
    valid until the next message is asked for. `crc32c` is over all of `data`, None when not given.
    `size` and `sha256` are what a finishing message declares of the whole document.
    """

    target: UploadSpec | str | None
    accept_partial: bool
    offset: int | None
    data: memoryview
    crc32c: int | None
    finish: bool
    sha256: str | None
    size: int | None


class MessageSource(Protocol):
    """A request stream with at most ONE outstanding read, which is never cancelled to be resumed.

    A cancelled read of grpc.aio becomes a false end of stream (measured), so a reader waits on
    `pending()` beside whatever else it waits for, and only `take()` consumes it.
    """

    def pending(self) -> asyncio.Future[UploadMessage | None]:
        """The outstanding read; begun when there is none. Its result is None at the end of the stream."""

    def take(self) -> UploadMessage | None:
        """Consume the outstanding read, which must be done. Raises what the read raised (InvalidRequest)."""
