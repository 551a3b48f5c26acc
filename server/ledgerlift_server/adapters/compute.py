"""Threads for work on buffers (hashing), so that it stays off the event loop and out of the bulkheads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ledgerlift_server.resilience.bulkhead import to_its_end

T = TypeVar("T")


class ComputePool:
    """An `Offload` (`domain/part_pipeline.py`) of as many threads as there are processors."""

    def __init__(self, threads: int | None = None) -> None:
        """`threads` defaults to the number of processors."""
        self._threads = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="compute")

    async def __call__(self, fn: Callable[..., T], /, *args: object) -> T:
        """The result of `fn(*args)`. A cancelled caller waits until the thread is done with its buffers."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, fn, *args)
        try:
            await to_its_end(work)
        except asyncio.CancelledError:
            work.exception()  # the caller left: nobody else will look at it
            raise
        return work.result()

    def close(self) -> None:
        """Wait for what is running; take no more."""
        self._threads.shutdown(wait=True)
