"""A bounded set of threads for blocking calls, with the queue outside of it, under the caller's deadline.

Waiting happens here and nowhere else: the threads are as many as the connections behind them, so a
call that got a permit never waits for a connection. A call that outlives its deadline is given up by
its caller and keeps its permit until its thread has come back: a hanging dependency fills its own
bulkhead and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ledgerlift_server.resilience.deadline import DeadlinePassed, current_deadline, time_left

T = TypeVar("T")


class BulkheadFull(Exception):
    """No permit came free in the time there was. Nothing was begun."""


class Bulkhead:
    """Runs blocking functions on at most `size` threads. Belongs to one event loop."""

    def __init__(self, name: str, size: int, *, max_wait: float) -> None:
        """`max_wait` is the longest time in seconds that a call queues, when its deadline allows more."""
        self.name = name
        self.size = size
        self._max_wait = max_wait
        self._permits = asyncio.Semaphore(size)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._running = 0
        self._waiting = 0

    @property
    def running(self) -> int:
        """Calls on a thread, abandoned ones included."""
        return self._running

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return self._waiting

    async def run(self, fn: Callable[..., T], /, *args: object, lent: bool = False) -> T:
        """The result of `fn(*args)`, which sees this task's context, its deadline included.

        Raises BulkheadFull when no thread came free, DeadlinePassed when `fn` was still running at the
        deadline, or would have begun after it. `lent`: the arguments are borrowed from the caller, so neither
        the deadline nor a cancellation ends the wait before `fn` has ended (its own timeouts bound it).
        """
        deadline = current_deadline()
        if deadline is not None and deadline.remaining() <= 0:
            raise DeadlinePassed
        await self._enter()
        context = contextvars.copy_context()
        try:
            work = asyncio.get_running_loop().run_in_executor(self._threads, context.run, fn, *args)
        except BaseException:
            self._leave()
            raise
        work.add_done_callback(self._ended)
        if lent:
            await to_its_end(work)
        else:
            await asyncio.wait({work}, timeout=None if deadline is None else deadline.remaining())
        if not work.done():
            raise DeadlinePassed
        return work.result()

    def close(self) -> None:
        """Take no more calls. Threads that hang are left to the end of the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _enter(self) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(time_left(self._max_wait)):
                await self._permits.acquire()
        except TimeoutError:
            raise BulkheadFull from None
        finally:
            self._waiting -= 1
        self._running += 1

    def _leave(self) -> None:
        self._running -= 1
        self._permits.release()

    def _ended(self, work: asyncio.Future[T]) -> None:
        self._leave()
        if not work.cancelled():
            work.exception()  # an abandoned call's failure has been answered as its deadline


async def to_its_end(work: asyncio.Future[T]) -> None:
    """Wait for `work`, which has borrowed memory from the caller. A cancellation, or several, counts only then."""
    cancelled: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
