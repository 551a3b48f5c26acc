"""`resilience/bulkhead.py`: bounded threads, the queue outside of them, and permits that are never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import pytest
from ledgerlift_server.resilience.bulkhead import Bulkhead, BulkheadFull
from ledgerlift_server.resilience.deadline import DeadlinePassed, current_deadline, deadline_scope

from tests.support.loop_clock import LoopClock, reports_of, turns, until

T = TypeVar("T")


class Gate:
    """Blocking work that a test lets go. `inside` counts the threads that stand in it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.inside = 0
        self.most_inside = 0

    def wait(self, result: T) -> T:
        """Stand here until the gate opens."""
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self._open.wait(60)
        with self._lock:
            self.inside -= 1
        return result

    def open(self) -> None:
        """Let everybody through, for good."""
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that is open at the end, whatever the test did."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def bulkhead() -> Iterator[Callable[..., Bulkhead]]:
    """Makes bulkheads and closes them."""
    made: list[Bulkhead] = []

    def make(size: int, max_wait: float = 30.0) -> Bulkhead:
        made.append(Bulkhead("test", size, max_wait=max_wait))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def free_permits(bulkhead: Bulkhead) -> int:
    """How many calls get a thread at this moment."""
    gate = Gate()
    calls = [asyncio.create_task(bulkhead.run(gate.wait, None)) for _ in range(bulkhead.size + 1)]
    await turns()
    got = bulkhead.running
    gate.open()
    await asyncio.gather(*calls)
    return got


async def test_the_result_comes_back(bulkhead: Callable[..., Bulkhead]) -> None:
    """A call is run on a thread of the bulkhead, and its result is the function's."""
    name = await bulkhead(1).run(lambda suffix: threading.current_thread().name + suffix, "!")
    assert name.startswith("test")
    assert name.endswith("!")


async def test_the_functions_own_failure_comes_back(bulkhead: Callable[..., Bulkhead]) -> None:
    """An exception of the function is the caller's to see, and costs no permit."""
    full = bulkhead(1)

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await full.run(fail)
    assert full.running == 0
    assert await free_permits(full) == 1


async def test_the_thread_sees_the_callers_deadline(bulkhead: Callable[..., Bulkhead]) -> None:
    """The driver's own timeouts can be set from it."""
    clock = LoopClock()
    with deadline_scope(clock.deadline(5.0)) as deadline:
        assert await bulkhead(1).run(current_deadline) is deadline


async def test_eight_slow_calls_run_side_by_side(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """As many calls run at once as there are threads, and the ninth waits."""
    eight = bulkhead(8)
    calls = [asyncio.create_task(eight.run(gate.wait, number)) for number in range(9)]
    await until(lambda: gate.inside == 8)
    assert (eight.running, eight.waiting) == (8, 1)
    gate.open()
    assert await asyncio.gather(*calls) == list(range(9))
    assert gate.most_inside == 8
    assert (eight.running, eight.waiting) == (0, 0)


async def test_the_queue_is_served_in_order(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """First come, first served."""
    one, order = bulkhead(1), list[int]()
    calls = [asyncio.create_task(one.run(gate.wait, None))]
    for number in range(5):
        await turns()
        calls.append(asyncio.create_task(one.run(order.append, number)))
    gate.open()
    await asyncio.gather(*calls)
    assert order == [0, 1, 2, 3, 4]


async def test_a_full_bulkhead_refuses_after_its_longest_wait(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """Nobody queues for ever; what was refused was never begun."""
    clock, one, ran = LoopClock(), bulkhead(1, max_wait=4.0), list[int]()
    holder = asyncio.create_task(one.run(gate.wait, None))
    queued = asyncio.create_task(one.run(ran.append, 1))
    await turns()
    await clock.advance(2.0)
    assert not queued.done()
    await clock.advance(2.1)
    with pytest.raises(BulkheadFull):
        await queued
    assert one.waiting == 0
    gate.open()
    await holder
    assert ran == []


async def test_a_nearer_deadline_shortens_the_wait(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """Waiting happens under the caller's deadline."""
    clock, one = LoopClock(), bulkhead(1, max_wait=30.0)
    holder = asyncio.create_task(one.run(gate.wait, None))
    await turns()
    with deadline_scope(clock.deadline(2.0)):
        queued = asyncio.create_task(one.run(int))
    await turns()
    await clock.advance(2.1)
    with pytest.raises(BulkheadFull):
        await queued
    gate.open()
    await holder


async def test_after_the_deadline_nothing_is_begun(bulkhead: Callable[..., Bulkhead]) -> None:
    """A call whose time is over does not reach the dependency, even where a thread is free."""
    clock, one, ran = LoopClock(), bulkhead(1), list[int]()
    with deadline_scope(clock.deadline(0.0)), pytest.raises(DeadlinePassed):
        await one.run(ran.append, 1)
    assert await free_permits(one) == 1
    assert ran == []


async def test_a_call_that_outlives_its_deadline_keeps_its_permit(
    bulkhead: Callable[..., Bulkhead], gate: Gate
) -> None:
    """A hanging dependency fills its own bulkhead until the thread is back, then the permit is free again."""
    clock, one = LoopClock(), bulkhead(1)
    with deadline_scope(clock.deadline(1.0)):
        abandoned = asyncio.create_task(one.run(gate.wait, None))
    await until(lambda: gate.inside == 1)
    await clock.advance(1.1)
    with pytest.raises(DeadlinePassed):
        await abandoned
    assert one.running == 1
    next_call = asyncio.create_task(one.run(int))
    await turns()
    assert one.waiting == 1, "the permit of an abandoned call is not given to another"
    gate.open()
    assert await next_call == 0
    assert one.running == 0


async def test_a_cancelled_call_keeps_its_permit_too(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """A caller that leaves does not make its thread free."""
    one = bulkhead(1)
    left = asyncio.create_task(one.run(gate.wait, None))
    await until(lambda: gate.inside == 1)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert one.running == 1
    gate.open()
    await until(lambda: one.running == 0)
    assert await free_permits(one) == 1


def test_the_failure_of_an_abandoned_call_disturbs_nobody(gate: Gate) -> None:
    """It was answered as its deadline; the loop does not report it a second time."""

    def hang_then_fail() -> None:
        gate.wait(None)
        raise OSError("too late")

    async def scenario() -> None:
        clock, one = LoopClock(), Bulkhead("test", 1, max_wait=1.0)
        with deadline_scope(clock.deadline(1.0)):
            abandoned = asyncio.create_task(one.run(hang_then_fail))
        await until(lambda: gate.inside == 1)
        await clock.advance(1.1)
        with pytest.raises(DeadlinePassed):
            await abandoned
        gate.open()
        await until(lambda: one.running == 0)
        one.close()

    assert reports_of(scenario) == []


async def test_lent_memory_is_waited_for_beyond_the_deadline(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """A borrowed buffer comes back only when the thread has let go of it, deadline or not."""
    clock, one = LoopClock(), bulkhead(1)
    with deadline_scope(clock.deadline(1.0)):
        lent = asyncio.create_task(one.run(gate.wait, "kept", lent=True))
    await until(lambda: gate.inside == 1)
    await clock.advance(5.0)
    assert not lent.done()
    gate.open()
    assert await lent == "kept"


async def test_lent_memory_is_waited_for_through_cancellations(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """However often the caller is cancelled, the wait ends with the thread, and then as a cancellation."""
    one = bulkhead(1)
    lent = asyncio.create_task(one.run(gate.wait, None, lent=True))
    await until(lambda: gate.inside == 1)
    for _ in range(3):
        lent.cancel()
        await turns()
        assert not lent.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await lent
    assert one.running == 0


async def test_a_timeout_around_lent_memory_stays_a_timeout(bulkhead: Callable[..., Bulkhead], gate: Gate) -> None:
    """`asyncio.timeout` recognises its own cancellation although it was put off."""
    clock, one = LoopClock(), bulkhead(1)

    async def bounded() -> None:
        async with asyncio.timeout(1.0):
            await one.run(gate.wait, None, lent=True)

    call = asyncio.create_task(bounded())
    await until(lambda: gate.inside == 1)
    await clock.advance(1.1)
    assert not call.done()
    gate.open()
    with pytest.raises(TimeoutError):
        await call


@pytest.mark.parametrize("lent", [False, True])
@pytest.mark.parametrize("after_turns", range(8))
async def test_no_permit_is_lost_wherever_a_call_is_cancelled(
    bulkhead: Callable[..., Bulkhead], after_turns: int, lent: bool
) -> None:
    """Cancelled before it began, in the queue, at the moment it is served, or on its thread: permits stay whole."""
    two = bulkhead(2)
    first_gate = Gate()
    holders = [asyncio.create_task(two.run(first_gate.wait, None)) for _ in range(2)]
    queued = [asyncio.create_task(two.run(int, lent=lent)) for _ in range(4)]
    if after_turns >= 2:
        first_gate.open()
    await turns(after_turns)
    for call in queued[::2]:
        call.cancel()
    first_gate.open()
    await asyncio.gather(*holders, *queued, return_exceptions=True)
    await until(lambda: two.running == 0)
    assert two.waiting == 0
    assert await free_permits(two) == 2


async def test_a_permit_granted_to_a_call_that_is_cancelled_at_once_goes_on_to_the_next(
    bulkhead: Callable[..., Bulkhead], gate: Gate
) -> None:
    """The grant and the cancellation meet in one turn of the loop: the next in the queue is served."""
    one = bulkhead(1)
    holder = asyncio.create_task(one.run(gate.wait, None))
    await until(lambda: gate.inside == 1)
    unlucky = asyncio.create_task(one.run(int))
    next_one = asyncio.create_task(one.run(partial(int, 7)))
    await turns()
    # The permit is handed over in `_ended`, a callback of the thread's future; cancel in that very turn.
    holder.add_done_callback(lambda _: unlucky.cancel())
    gate.open()
    assert await next_one == 7
    await asyncio.gather(holder, unlucky, return_exceptions=True)
    assert one.running == 0


async def test_a_closed_bulkhead_loses_no_permit_on_what_it_refuses(
    bulkhead: Callable[..., Bulkhead],
) -> None:
    """After close() calls fail, and the counts still say what is true."""
    one = bulkhead(1)
    one.close()
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await one.run(int)
    assert (one.running, one.waiting) == (0, 0)
