"""`adapters/dependency.py`: what a bulkhead raises, in the words that callers are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable, Overloaded
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.resilience.deadline import deadline_scope

from tests.support.dependencies import never_opens
from tests.support.loop_clock import LoopClock, turns, until


@pytest.fixture
def bulkhead() -> Iterator[Bulkhead]:
    """One thread, and a queue of five seconds."""
    made = Bulkhead("storage", 1, max_wait=5.0)
    yield made
    made.close()


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Set at the end: whatever waits for it goes on."""
    event = threading.Event()
    yield event
    event.set()


async def test_the_answer_passes_through(bulkhead: Bulkhead) -> None:
    """A dependency that answers is not noticed."""
    assert await never_opens("storage", bulkhead).call("ping", divmod, 7, 2) == (3, 1)


async def test_what_the_adapter_translated_passes_through(bulkhead: Bulkhead) -> None:
    """The function has translated its driver's exceptions already."""

    def fail() -> None:
        raise DependencyUnavailable("the storage is down")

    with pytest.raises(DependencyUnavailable, match="the storage is down"):
        await never_opens("storage", bulkhead).call("ping", fail)


async def test_no_free_connection_is_an_overload(bulkhead: Bulkhead, hang: threading.Event) -> None:
    """The caller may come again: nothing was begun."""
    clock, storage = LoopClock(), never_opens("storage", bulkhead)
    holder = asyncio.create_task(storage.call("ping", hang.wait, 60))
    queued = asyncio.create_task(storage.call("ping", int))
    await turns()
    await clock.advance(5.1)
    with pytest.raises(Overloaded, match="storage") as refused:
        await queued
    assert refused.value.retry_after == 1.0
    hang.set()
    await holder


async def test_no_answer_in_time_is_a_deadline_exceeded(bulkhead: Bulkhead, hang: threading.Event) -> None:
    """The caller learns in time that the outcome is unknown."""
    clock, storage = LoopClock(), never_opens("storage", bulkhead)
    with deadline_scope(clock.deadline(2.0)):
        call = asyncio.create_task(storage.call("ping", hang.wait, 60))
    await until(lambda: bulkhead.running == 1)
    await clock.advance(2.1)
    with pytest.raises(DeadlineExceeded, match="storage"):
        await call


async def test_lent_memory_is_waited_for(bulkhead: Bulkhead, hang: threading.Event) -> None:
    """`lent` reaches the bulkhead: the deadline does not end the wait before the thread has."""
    clock, storage = LoopClock(), never_opens("storage", bulkhead)
    with deadline_scope(clock.deadline(2.0)):
        call = asyncio.create_task(storage.call("ping", hang.wait, 60, lent=True))
    await until(lambda: bulkhead.running == 1)
    await clock.advance(3.0)
    assert not call.done()
    hang.set()
    assert await call is True
