"""Part buffers out of one memory budget (DESIGN section 4 rule 11).

A stream takes one buffer at a time, before it reads into it, and never waits for a second one while
it could give one back: what it has lent to the store comes back without it. So every holder can make
progress alone and nobody can block the budget for ever.

    memory of part buffers <= budget + what is kept for reuse (<= `keep` bytes, free to be taken again)
"""

from __future__ import annotations

import asyncio
from collections import deque

from ledgerlift_server.errors import Overloaded


class PartBuffer:
    """Up to `capacity` bytes on their way to the store. Filled by one task, then only read."""

    __slots__ = ("_memory", "capacity", "filled")

    def __init__(self, memory: bytearray, capacity: int) -> None:
        self._memory = memory
        self.capacity = capacity
        self.filled = 0

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

    def __init__(self, total: int, *, wait: float, keep: int = 0) -> None:
        """`wait` is the longest time in seconds that a taker waits; `keep` the bytes kept for reuse."""
        self._total = total
        self._wait = wait
        self._keep = keep
        self._used = 0
        self._kept: list[bytearray] = []
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes of all buffers that are out."""
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
        if self._queue or self._used + capacity > self._total:
            await self._turn(capacity)
        else:
            self._used += capacity
        try:
            return PartBuffer(self._memory(capacity), capacity)
        except MemoryError as exc:
            self._used -= capacity
            self._serve()
            raise _overloaded(f"no memory for a part of {capacity} bytes") from exc

    def give_back(self, buffer: PartBuffer) -> None:
        """Return the buffer; nobody may look at its view any more."""
        self._used -= buffer.capacity
        memory = buffer._memory
        buffer._memory = bytearray()
        if sum(map(len, self._kept)) + len(memory) <= self._keep:
            self._kept.append(memory)
        self._serve()

    async def _turn(self, capacity: int) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (capacity, granted)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(self._wait):
                await granted
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
                granted.set_result(None)
            else:
                return

    def _memory(self, capacity: int) -> bytearray:
        for index, memory in enumerate(self._kept):
            if len(memory) == capacity:
                return self._kept.pop(index)
        return bytearray(capacity)


def _overloaded(why: str) -> Overloaded:
    return Overloaded(why, retry_after=2.0)
