"""What the asyncio client can upload: all that the blocking one can, and async iterators of bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, TypeAlias, cast

from ledgerlift_client._aio._worker import AT_ONCE, Worker
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._sources import BytesSource, Source, SourceLike, StreamSource, as_piece, open_source

AsyncSourceLike: TypeAlias = "SourceLike | AsyncIterable[bytes]"
"""What the blocking client takes, or pieces of bytes that are awaited."""


class Arriving:
    """An async iterator of bytes, read like a stream that never blocks: `gather` comes before each `read`."""

    def __init__(self, pieces: AsyncIterator[Any]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._ended = False

    async def gather(self) -> None:
        """Have bytes to read, or know that there are no more."""
        while not self._rest and not self._ended:
            try:
                self._rest = as_piece(await anext(self._pieces))
            except StopAsyncIteration:
                self._ended = True

    def read(self, most: int) -> memoryview:
        """Up to `most` bytes of what was gathered; none at the end."""
        if not self._rest and not self._ended:
            raise RuntimeError("nothing was gathered: that is not the end")
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken


class ArrivingSource(StreamSource):
    """A stream that is waited for on the loop."""

    def __init__(self, pieces: AsyncIterator[Any], *, replay: int) -> None:
        self._arriving = Arriving(pieces)
        super().__init__(cast(BinaryIO, self._arriving), replay=replay, owned=False)

    async def ready(self) -> None:
        """Wait until the next `read` has something to give; it has at once what was read before and is kept."""
        if self.size is None and self._cursor >= self._base + len(self._kept):
            await self._arriving.gather()

    async def measured(self, most: int) -> None:
        """See `StreamSource.measure`."""
        await self._arriving.gather()
        while self.look_ahead(most):
            await self._arriving.gather()


class Opened:
    """A source, and the thread that reads it."""

    def __init__(self, source: Source, worker: Worker, message_size: int) -> None:
        self.source = source
        self.worker = worker
        self.at_once = isinstance(source, BytesSource) and min(message_size, source.size or 0) <= AT_ONCE
        """Reading and hashing one message takes less than the way to a thread."""

    async def ready(self) -> None:
        """To be awaited before anything that reads the source once."""
        if isinstance(self.source, ArrivingSource):
            await self.source.ready()


@asynccontextmanager
async def opened(source: AsyncSourceLike, options: ClientOptions) -> AsyncGenerator[Opened, None]:
    """The source for what the caller gave; closed behind whatever still reads it. Raises as `open_source` does."""
    worker, found = Worker(), list[Source]()

    def open_it() -> None:
        found.append(open_source(source, replay=options.replay_buffer, peek=options.message_size))

    def close_it() -> None:
        for one in found:
            one.close()

    try:
        if isinstance(source, AsyncIterable):
            arriving = ArrivingSource(aiter(source), replay=options.replay_buffer)
            found.append(arriving)
            await arriving.measured(options.message_size)
        elif isinstance(source, bytes | bytearray | memoryview):
            open_it()
        else:
            await worker.do(open_it)
        yield Opened(found[0], worker, options.message_size)
    finally:
        await worker.finish(close_it)
