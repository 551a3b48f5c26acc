"""What uploads add up to since the process began. Each owner keeps its own; metrics read them, on another thread.

Written on the event loop only. Numbers are read one by one, so two of them may be of two moments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from ledgerlift_server.domain.upload_message import MessageSource, UploadMessage


class StreamEnd(Enum):
    """How an Upload call ended. The four in the middle are the stop reasons, whether or not they were an error."""

    COMMITTED = "committed"
    REPLAYED = "replayed"
    """Answered with the result of another call, or of one that came before."""
    SEGMENT_END = "segment_end"
    DRAINING = "draining"
    STALLED = "stalled"
    DEADLINE = "deadline"
    CANCELLED = "cancelled"
    """Its client left, or its deadline came, before there was an answer."""
    FAILED = "failed"


@dataclass(slots=True)
class StreamCount:
    """One call that runs. Whoever knows how it ends says so."""

    end: StreamEnd = StreamEnd.FAILED


@dataclass(slots=True)
class StreamTally:
    """`received_bytes` are bytes of documents that arrived, durable or not."""

    received_bytes: int = 0
    ended: dict[StreamEnd, int] = field(default_factory=lambda: dict.fromkeys(StreamEnd, 0))

    @contextmanager
    def stream(self) -> Iterator[StreamCount]:
        """Count the call that the block is."""
        count = StreamCount()
        try:
            yield count
        except asyncio.CancelledError:
            count.end = StreamEnd.CANCELLED
            raise
        finally:
            self.ended[count.end] += 1


@dataclass(slots=True)
class OpeningTally:
    """`deduplicated` sessions were committed when they were opened: what was declared is there already."""

    deduplicated: int = 0


@dataclass(slots=True)
class CommitTally:
    """Commits that ended in this process. `size` in bytes; `duplicates` came to a document that was there already."""

    documents: int = 0
    size: int = 0
    duplicates: int = 0

    def add(self, size: int, *, duplicate: bool) -> None:
        """A commit has ended."""
        if duplicate:
            self.duplicates += 1
        else:
            self.documents += 1
            self.size += size


class CountedMessages:
    """A message source whose bytes are counted as they are taken."""

    def __init__(self, source: MessageSource, tally: StreamTally) -> None:
        """`tally` is told of them."""
        self._source = source
        self._tally = tally

    def pending(self) -> asyncio.Future[UploadMessage | None]:
        """See `MessageSource.pending`."""
        return self._source.pending()

    def take(self) -> UploadMessage | None:
        """See `MessageSource.take`."""
        message = self._source.take()
        if message is not None:
            self._tally.received_bytes += len(message.data)
        return message
