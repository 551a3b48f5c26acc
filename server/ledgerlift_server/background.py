"""Work that goes on beside the calls for as long as the server runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

logger = logging.getLogger(__name__)

RESTART_PAUSE = 5.0
"""Seconds before work that died of a defect is begun again."""


@asynccontextmanager
async def running(
    name: str, work: Callable[[], Awaitable[None]], *, pause: float = RESTART_PAUSE
) -> AsyncIterator[None]:
    """Keep `work`, which never returns, running during the block; cancel it at the end."""
    task = asyncio.create_task(_kept_running(name, work, pause), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _kept_running(name: str, work: Callable[[], Awaitable[None]], pause: float) -> None:
    while True:
        try:
            await work()
        except Exception:
            # Without the janitor nothing is cleaned up, and nobody would notice for days.
            logger.exception("background_work_died", extra={"work": name})
        await asyncio.sleep(pause)
