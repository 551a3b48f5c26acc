"""The memory of all uploads out of one budget (DESIGN section 4 rule 11).

    transit of every stream that is sending + part buffers + buffers kept for reuse <= budget

Transit is what a stream holds beside its part buffers: the message at hand, the one that arrives, and what its
client may send ahead. It is taken once, when the stream begins to send, and given back with its end. A stream that
sends nothing holds nothing.

A stream takes one buffer at a time, before it reads on into it, and never waits for a second one while it could
give one back: what it has lent to the store comes back without it. So many streams get in that the largest buffer
still fits beside them: every holder can make progress alone, and nobody can block the budget for ever.
"""

from __future__ import annotations

import asyncio
import mmap
import sys
from collections import deque

from ledgerlift_server.errors import Overloaded

Memory = bytearray | mmap.mmap

PAGES = 1024 * 1024
"""Bytes from which on a buffer begins at a page: such memory can be written to a disk past its page cache. Only such
a one is worth keeping: a smaller one is a document's, each of another size, and the allocator has it at once."""


class PartBuffer:
    """Up to `capacity` bytes on their way to the store. Filled by one task, then only read."""

    __slots__ = ("_memory", "capacity", "crc32c", "filled")

    def __init__(self, memory: Memory, capacity: int) -> None:
        self._memory = memory
        self.capacity = capacity
        self.filled = 0
        self.crc32c = 0
        """Of what was filled in; whoever does that keeps it."""

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return self.capacity - self.filled

    def append(self, data: memoryview) -> None:
        """Copy `data`, which must fit, behind what is there: the one copy between the wire and the store."""
        end = self.filled + len(data)
        memoryview(self._memory)[self.filled : end] = data
        self.filled = end

    def view(self) -> memoryview:
        """What has been filled in, without a copy."""
        return memoryview(self._memory)[: self.filled]


class BufferBudget:
    """Hands out part buffers, first come first served, as long as they fit into `total` bytes."""

    def __init__(self, total: int, *, wait: float, keep: int = 0, transit: int = 0, largest: int = 0) -> None:
        """Sizes in bytes: `keep` may be kept for reuse, a stream that sends holds `transit`, no buffer is larger
        than `largest`. `wait` is the longest time in seconds that a stream waits for one of them.
        """
        self._total = total
        self._wait = wait
        self._keep = keep
        self._transit = min(transit, max(0, total - largest))  # a budget of one buffer has no room for more
        self._places = asyncio.Semaphore((total - largest) // self._transit if self._transit else sys.maxsize)
        self._used = 0
        self._kept: list[Memory] = []
        self._queue: deque[tuple[int, asyncio.Future[Memory | None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes of all buffers that are out, and of all streams that are in."""
        return self._used

    @property
    def waiting(self) -> int:
        """Takers in the queue."""
        return len(self._queue)

    async def take(self, capacity: int) -> PartBuffer:
        """A buffer of `capacity` bytes, to be given back exactly once.

        Raises Overloaded after the wait, and at once for more than the whole budget (a session that was opened
        under a larger one), which nobody behind it should wait for.
        """
        if capacity > self._total:
            raise _overloaded(f"a part of {capacity} bytes is more than the whole memory budget")
        kept = await self._reserve(capacity)
        try:
            return PartBuffer(_new_memory(capacity) if kept is None else kept, capacity)
        except (MemoryError, OSError) as exc:  # OSError: of mmap
            self._release(capacity)
            raise _overloaded(f"no memory for a part of {capacity} bytes") from exc

    def give_back(self, buffer: PartBuffer) -> None:
        """Return the buffer; nobody may look at its view any more."""
        memory, buffer._memory = buffer._memory, bytearray()
        if PAGES <= len(memory) <= self._keep:
            self._kept.append(memory)
            while sum(map(len, self._kept)) > self._keep:  # the oldest: of a size that nobody has asked for since
                self._kept.pop(0)
        self._release(buffer.capacity)

    async def enter(self) -> None:
        """A stream begins to send; `leave` belongs to it. Raises Overloaded after the wait."""
        try:
            async with asyncio.timeout(self._wait):
                await self._places.acquire()
        except TimeoutError as exc:
            raise _overloaded(f"no memory for one more upload within {self._wait:g} s") from exc
        try:
            await self._reserve(self._transit)
        except BaseException:
            self._places.release()
            raise

    def leave(self) -> None:
        """The stream is at its end."""
        self._places.release()
        self._release(self._transit)

    async def _reserve(self, size: int) -> Memory | None:
        """Kept memory of that size comes along: it would be the first to be forgotten where the budget is used up."""
        if self._queue or self._used + size > self._total:
            kept = await self._turn(size)
        else:
            self._used += size
            kept = self._reuse(size)
        self._forget_kept()
        return kept

    def _release(self, size: int) -> None:
        self._used -= size
        self._serve()
        self._forget_kept()

    def _forget_kept(self) -> None:
        """What is kept is part of the budget: it makes room for what is in use."""
        while self._kept and self._used + sum(map(len, self._kept)) > self._total:
            self._kept.pop(0)

    async def _turn(self, capacity: int) -> Memory | None:
        granted: asyncio.Future[Memory | None] = asyncio.get_running_loop().create_future()
        entry = (capacity, granted)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(self._wait):
                return await granted
        except BaseException as exc:
            if granted.done() and not granted.cancelled():
                self._used -= capacity  # granted in the same turn of the loop as we gave up
            elif entry in self._queue:
                self._queue.remove(entry)
            self._serve()
            if isinstance(exc, TimeoutError):
                raise _overloaded(f"no memory for a part of {capacity} bytes within {self._wait:g} s") from exc
            raise

    def _serve(self) -> None:
        while self._queue:
            capacity, granted = self._queue[0]
            if granted.done():
                self._queue.popleft()
            elif self._used + capacity <= self._total:
                self._queue.popleft()
                self._used += capacity
                granted.set_result(self._reuse(capacity))
            else:
                return

    def _reuse(self, capacity: int) -> Memory | None:
        for index, memory in enumerate(self._kept):
            if len(memory) == capacity:
                return self._kept.pop(index)
        return None


def _new_memory(capacity: int) -> Memory:
    if capacity < PAGES:
        return bytearray(capacity)
    return mmap.mmap(-1, capacity, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _overloaded(why: str) -> Overloaded:
    return Overloaded(why, retry_after=2.0)
