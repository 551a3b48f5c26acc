"""The two parts of the asyncio client that can be tested without a server: its feed and its thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from ledgerlift_client._aio._feed import Feed
from ledgerlift_client._aio._worker import Worker

PATIENCE = 20.0


async def test_a_feed_hands_over_in_order_and_no_more_than_fit() -> None:
    """Whoever puts waits for room; messages come as they went in, then the end."""
    feed = Feed(2)
    assert await feed.put(b"1")
    assert await feed.put(b"2")
    third = asyncio.create_task(feed.put(b"3"))
    await asyncio.wait([third], timeout=0.05)
    assert not third.done()
    assert await anext(feed) == b"1"
    assert await third
    feed.end()
    assert [message async for message in feed] == [b"2", b"3"]
    assert feed.taken == 3


async def test_a_feed_waits_for_what_is_not_there_yet() -> None:
    """Neither an empty feed nor one that was emptied is the end."""
    feed = Feed(2)
    taking = asyncio.create_task(anext(feed))
    for message in (b"1", b"2"):
        await asyncio.wait([taking], timeout=0.05)
        assert not taking.done()
        await feed.put(message)
        assert await taking == message
        taking = asyncio.create_task(anext(feed))
    feed.end()
    with pytest.raises(StopAsyncIteration):
        await taking


async def test_a_stopped_feed_lets_go_of_both_sides() -> None:
    """Nobody waits for a call that is over, and what was not taken does not count as sent."""
    feed = Feed(1)
    await feed.put(b"1")
    putting = asyncio.create_task(feed.put(b"2"))
    await asyncio.sleep(0)
    feed.stop()
    assert await putting is False
    assert [message async for message in feed] == []
    assert feed.taken == 0


async def test_a_worker_does_one_thing_after_the_other() -> None:
    """On one thread, in the order asked for; what is raised comes up where it was asked for."""
    worker, done, free = Worker(), list[str](), threading.Event()

    def wait() -> str:
        assert free.wait(PATIENCE)
        done.append("first")
        return threading.current_thread().name

    first = asyncio.create_task(worker.do(wait))
    second = asyncio.create_task(worker.do(done.append, "second"))
    await asyncio.sleep(0)
    free.set()
    assert await first == "ledgerlift-worker"
    await second
    with pytest.raises(ZeroDivisionError):
        await worker.do(lambda: 1 // 0)
    await worker.finish(lambda: done.append("last"))
    assert done == ["first", "second", "last"]


async def test_what_was_cancelled_is_done_all_the_same_and_closed_behind() -> None:
    """Closing what a thread still reads would let it read what is opened next under that number."""
    worker, done, free, reading = Worker(), list[str](), threading.Event(), threading.Event()

    def read() -> None:
        reading.set()
        assert free.wait(PATIENCE)
        done.append("read")

    task = asyncio.create_task(worker.do(read))
    assert await asyncio.to_thread(reading.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    finish = asyncio.create_task(worker.finish(lambda: done.append("closed")))
    await asyncio.sleep(0)
    assert done == []
    free.set()
    await finish
    assert done == ["read", "closed"]


async def test_a_source_that_raises_stop_iteration_is_told_of() -> None:
    """A future cannot carry it; unheard, the upload would wait for ever."""

    def wrong() -> None:
        raise StopIteration

    worker = Worker()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await worker.do(wrong)
    await worker.finish(lambda: None)


def test_a_thread_outlives_its_loop_in_silence() -> None:
    """A program whose loop has ended while a pipe was silent is not told of it afterwards."""
    free, ended, reading, threads = threading.Event(), threading.Event(), threading.Event(), list[threading.Thread]()

    def read() -> None:
        threads.append(threading.current_thread())
        reading.set()
        assert free.wait(PATIENCE)

    async def begin() -> None:
        worker = Worker()
        task = asyncio.create_task(worker.do(read))
        assert await asyncio.to_thread(reading.wait, PATIENCE)
        task.cancel()
        worker_end = asyncio.create_task(worker.finish(ended.set))
        await asyncio.sleep(0)
        worker_end.cancel()

    asyncio.run(begin())
    free.set()
    assert ended.wait(PATIENCE)
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()  # an exception of it would be pytest's warning, and an error
    assert threads[0].daemon


async def test_a_worker_without_work_has_no_thread() -> None:
    """Small documents in memory need none."""
    before = threading.active_count()
    closed: Iterator[bool] = iter([True])
    await Worker().finish(lambda: next(closed))
    assert threading.active_count() == before
    assert next(closed, None) is None
