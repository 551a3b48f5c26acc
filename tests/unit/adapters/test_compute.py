"""`adapters/compute.py`: work on borrowed buffers, off the loop, never left behind by its caller."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from ledgerlift_server.adapters.compute import ComputePool

from tests.support.loop_clock import reports_of, turns, until


@pytest.fixture
def pool() -> Iterator[ComputePool]:
    """Two threads."""
    made = ComputePool(2)
    yield made
    made.close()


async def test_the_result_comes_back_from_another_thread(pool: ComputePool) -> None:
    """The loop's thread computes nothing."""
    assert await pool(threading.get_ident) != threading.get_ident()
    assert await pool(divmod, 7, 2) == (3, 1)


async def test_a_failure_comes_back(pool: ComputePool) -> None:
    """What the function raises is the caller's."""
    with pytest.raises(ZeroDivisionError):
        await pool(divmod, 7, 0)


async def test_a_caller_that_is_cancelled_waits_for_its_buffers(pool: ComputePool) -> None:
    """Cancelled once or several times: the thread has let go of the buffers when the call ends."""
    began, release, released = threading.Event(), threading.Event(), threading.Event()

    def use_buffer() -> None:
        began.set()
        release.wait(60)
        released.set()

    call = asyncio.create_task(pool(use_buffer))
    await until(began.is_set)
    for _ in range(3):
        call.cancel()
        await turns()
        assert not call.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert released.is_set()


def test_a_failure_after_the_caller_left_disturbs_nobody() -> None:
    """The loop does not report an exception that nobody waits for."""
    began, release = threading.Event(), threading.Event()

    def fail() -> None:
        began.set()
        release.wait(60)
        raise ValueError

    async def scenario() -> None:
        pool = ComputePool(1)
        call = asyncio.create_task(pool(fail))
        await until(began.is_set)
        call.cancel()
        await turns()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        pool.close()

    assert reports_of(scenario) == []
