"""A thread for what would hold the loop up: reading, hashing and writing one transfer's bytes."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ledgerlift_client._cancel import CancelToken

AT_ONCE = 64 * 1024
"""Bytes in memory that are hashed on the loop: that takes no longer than the way to a thread and back."""
LEAVE_PATIENCE = 1.0
"""Seconds that the end of a transfer waits for a read or a write that is under way. A thread cannot be stopped, and a
pipe may be silent for ever; but a caller who is told that the transfer is over may use the file at once."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Worker:
    """Does one piece of work after the other, in order, on a thread that begins with the first of them.

    One for each transfer, as in the blocking client, and not of a pool: reads that block would take all its threads.
    A daemon: a program can end while a silent pipe is being read.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def do(self, work: Callable[_P, _T], *args: _P.args, **named: _P.kwargs) -> _T:
        """Call `work` on the thread, behind what was asked for before. Cancelled, it is done all the same."""
        return await self._begin(partial(work, *args, **named))

    async def finish(self, last: Callable[[], object]) -> None:
        """Call `last` behind everything else, and end the thread; waits for `LEAVE_PATIENCE` at most."""
        if self._thread is None:
            last()
            return
        future = self._begin(last)
        self._jobs.put(None)
        await asyncio.wait([future], timeout=LEAVE_PATIENCE)
        if future.done():
            future.result()

    def _begin(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = self._loop.create_future()
        self._jobs.put(partial(_carry_out, self._loop, future, partial(contextvars.copy_context().run, work)))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="ledgerlift-worker", daemon=True)
            self._thread.start()
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


@contextmanager
def cancelling() -> Iterator[CancelToken]:
    """A token for long work on the thread: cancelled with the block, so that the thread does not go on for nobody."""
    token = CancelToken()
    try:
        yield token
    finally:
        token.cancel()


def _carry_out(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
    try:
        tell = partial(_settle, future, work(), None)
    except BaseException as error:
        tell = partial(_settle, future, None, error)
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(tell)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # cancelled
    if isinstance(error, StopIteration):  # a future cannot carry it
        future.set_exception(RuntimeError("the source raised StopIteration"))
    elif error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
