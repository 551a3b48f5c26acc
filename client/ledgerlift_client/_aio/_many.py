"""Several uploads at a time, in tasks of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from ledgerlift_client._aio._sources import AsyncSourceLike
from ledgerlift_client._many import as_items
from ledgerlift_client._models import UploadResult
from ledgerlift_client._upload_plan import UploadItem, UploadOutcome


async def upload_each(
    upload: Callable[[UploadItem], Awaitable[UploadResult]],
    sources: Iterable[AsyncSourceLike | UploadItem],
    concurrency: int,
) -> list[UploadOutcome]:
    """What becomes of each source, in their order. See `AsyncLedgerLiftClient.upload_many`."""
    items = as_items(sources, concurrency)
    outcomes: list[UploadOutcome] = [UploadOutcome(item) for item in items]
    waiting = iter(enumerate(items))

    async def work() -> None:
        for number, item in waiting:
            try:
                outcomes[number] = UploadOutcome(item, result=await upload(item))
            except Exception as error:
                outcomes[number] = UploadOutcome(item, error=error)

    async with asyncio.TaskGroup() as tasks:  # cancelled, it cancels them and waits for their end
        for _ in range(min(concurrency, len(items))):
            tasks.create_task(work())
    return outcomes
