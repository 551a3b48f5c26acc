"""Work beside the calls."""

from __future__ import annotations

import asyncio

from ledgerlift_server import background

from tests.support.captured_log import Entries


async def test_work_that_dies_is_begun_again_and_told(log: Entries) -> None:
    """A defect in the janitor must not end clean-up for the rest of the process's life, nor pass unseen."""
    begun: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        await begun.put(1)
        raise ZeroDivisionError

    async with background.running("janitor", work, pause=0.0), asyncio.timeout(10):
        await begun.get()
        await begun.get()
    assert {(entry["event"], entry["work"]) for entry in log()} == {("background_work_died", "janitor")}


async def test_work_ends_with_its_block() -> None:
    """At the end of the block the work is cancelled, and has ended."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    begun = asyncio.Event()
    async with background.running("pulses", work):
        await begun.wait()
    assert ended.is_set()
