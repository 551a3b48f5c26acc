"""`domain/part_buffers.py`: one budget, first come first served, and nothing of it is ever lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ledgerlift_server.domain.part_buffers import PAGES, BufferBudget, PartBuffer
from ledgerlift_server.errors import Overloaded

from tests.support.loop_clock import LoopClock, turns


def test_a_buffer_is_filled_and_read_in_place() -> None:
    """What was appended is what the view shows, without a copy."""
    buffer = PartBuffer(bytearray(10), 10)
    buffer.append(memoryview(b"abc"))
    buffer.append(memoryview(b""))
    buffer.append(memoryview(b"defg"))
    assert (buffer.filled, buffer.room) == (7, 3)
    assert bytes(buffer.view()) == b"abcdefg"


def test_more_than_fits_is_never_taken() -> None:
    """A buffer cannot grow, and what was in it stays."""
    buffer = PartBuffer(bytearray(4), 4)
    buffer.append(memoryview(b"abc"))
    with pytest.raises(ValueError, match="different structures"):
        buffer.append(memoryview(b"de"))
    assert bytes(buffer.view()) == b"abc"


async def test_buffers_are_handed_out_up_to_the_budget() -> None:
    """The taker that does not fit waits until enough has come back."""
    budget = BufferBudget(100, wait=5)
    first, second = await budget.take(60), await budget.take(40)
    third = asyncio.create_task(budget.take(41))
    await turns()
    assert (budget.used, budget.waiting) == (100, 1)
    budget.give_back(second)
    await turns()
    assert not third.done(), "40 free bytes are not 41"
    budget.give_back(first)
    assert (await third).capacity == 41
    assert (budget.used, budget.waiting) == (41, 0)


async def test_who_came_first_is_served_first() -> None:
    """A small taker does not overtake a large one, or the large one would never be served."""
    budget = BufferBudget(100, wait=5)
    holder = await budget.take(60)
    order: list[int] = []

    async def take(capacity: int) -> PartBuffer:
        buffer = await budget.take(capacity)
        order.append(capacity)
        return buffer

    large = asyncio.create_task(take(90))
    await turns()
    small = asyncio.create_task(take(10))  # would fit at once
    await turns()
    assert order == []
    budget.give_back(holder)
    await asyncio.gather(large, small)
    assert order == [90, 10]


async def test_who_waits_too_long_is_told_to_come_again() -> None:
    """Nothing is taken, and whoever comes next is not held up."""
    clock, budget = LoopClock(), BufferBudget(100, wait=5)
    holder = await budget.take(60)
    late = asyncio.create_task(budget.take(50))
    await turns()
    behind = asyncio.create_task(budget.take(40))
    await clock.advance(2.0)
    assert not late.done()
    await clock.advance(3.1)
    with pytest.raises(Overloaded, match="within 5 s") as refused:
        await late
    assert refused.value.retry_after == 2.0
    assert (await behind).capacity == 40, "it waited behind one that gave up, and fits"
    assert budget.used == 100
    budget.give_back(holder)


async def test_more_than_the_whole_budget_is_refused_at_once() -> None:
    """It could never be served, so nobody waits for it, or behind it."""
    budget = BufferBudget(100, wait=5)
    with pytest.raises(Overloaded, match="whole memory budget"):
        await budget.take(101)
    assert (budget.used, budget.waiting) == (0, 0)


async def test_memory_that_the_machine_does_not_have_is_not_counted() -> None:
    """A failed allocation is an overload, and its bytes are free again for the next."""
    budget = BufferBudget(2**62, wait=5)
    with pytest.raises(Overloaded):
        await budget.take(2**61)
    assert budget.used == 0


async def test_memory_is_kept_for_reuse_up_to_its_bound() -> None:
    """Buffers of the same size are used again; beyond `keep` they are let go."""
    budget = BufferBudget(6 * PAGES, wait=5, keep=3 * PAGES)
    buffers = [await budget.take(2 * PAGES) for _ in range(3)]
    memories = {id(buffer._memory) for buffer in buffers}
    for buffer in buffers:
        budget.give_back(buffer)
    assert len(budget._kept) == 1
    other_size = await budget.take(PAGES)
    assert len(other_size._memory) == PAGES
    again = await budget.take(2 * PAGES)
    assert id(again._memory) in memories
    assert budget.used == 3 * PAGES


async def test_documents_of_all_sizes_do_not_take_the_place_of_parts() -> None:
    """A buffer of a size that does not come again is not kept instead of one that does; a small one is not at all."""
    budget = BufferBudget(100 * PAGES, wait=5, keep=10 * PAGES)
    part = await budget.take(5 * PAGES)
    for size in (*range(1, 1000), *range(PAGES, PAGES + 100), PAGES - 1):
        budget.give_back(await budget.take(size))
    memory = part._memory
    budget.give_back(part)
    assert (await budget.take(5 * PAGES))._memory is memory
    assert [len(kept) for kept in budget._kept] == [PAGES + last for last in range(96, 100)]


async def test_a_budget_that_is_used_up_still_uses_its_memory_again() -> None:
    """What one stream gives back goes to the one that waits for it, and to the next that comes, as it is."""
    budget = BufferBudget(4 * PAGES, wait=5, keep=4 * PAGES)
    first, second = [await budget.take(2 * PAGES) for _ in range(2)]
    memories = first._memory, second._memory
    waiting = asyncio.create_task(budget.take(2 * PAGES))
    await turns()
    budget.give_back(first)
    assert (await waiting)._memory is memories[0]
    budget.give_back(second)
    assert (await budget.take(2 * PAGES))._memory is memories[1]
    assert budget.used == 4 * PAGES


async def test_a_buffer_that_went_back_shows_nothing_any_more() -> None:
    """The next holder's bytes are not visible through an old buffer."""
    budget = BufferBudget(2 * PAGES, wait=5, keep=PAGES)
    old = await budget.take(PAGES)
    memory = old._memory
    old.append(memoryview(b"mine"))
    budget.give_back(old)
    again = await budget.take(PAGES)
    again.append(memoryview(b"yours"))
    assert again._memory is memory
    assert bytes(old.view()) == b""


@pytest.mark.parametrize("after_turns", range(4))
async def test_a_grant_that_meets_a_cancellation_goes_on_to_the_next(after_turns: int) -> None:
    """Wherever the waiter is cancelled, before, in the very turn of its grant, or after: no byte is lost."""
    budget = BufferBudget(100, wait=5)
    holder = await budget.take(100)
    unlucky = asyncio.create_task(budget.take(100))
    next_one = asyncio.create_task(budget.take(100))
    await turns()
    budget.give_back(holder)
    await turns(after_turns)
    unlucky.cancel()
    (outcome,) = await asyncio.gather(unlucky, return_exceptions=True)
    if isinstance(outcome, PartBuffer):
        budget.give_back(outcome)
    assert (await next_one).capacity == 100
    assert (budget.used, budget.waiting) == (100, 0)


async def test_a_grant_that_meets_the_timeout_goes_on_to_the_next() -> None:
    """The wait ends in the same turn in which the memory came: it is lent or free, never both or neither."""
    clock, budget = LoopClock(), BufferBudget(100, wait=5)
    holder = await budget.take(100)
    unlucky = asyncio.create_task(budget.take(100))
    await turns()
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(budget.give_back, holder)
    await clock.advance(5.1)
    (outcome,) = await asyncio.gather(unlucky, return_exceptions=True)
    if isinstance(outcome, PartBuffer):
        budget.give_back(outcome)
    assert (budget.used, budget.waiting) == (0, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 100)),
        st.tuples(st.just("give"), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([0.1, 1.0, 5.1])),
        st.tuples(st.just("turn"), st.integers(1, 3)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps)
@example([("take", 60), ("take", 41)])
@example([("take", 100), ("take", 50), ("take", 50), ("settle", 0), ("cancel", 2), ("settle", 0)])
@example([("take", 100), ("take", 50), ("settle", 0), ("cancel", 1), ("give", 0)])
def test_whatever_happens_the_budget_holds_and_comes_back_whole(script: list[tuple[str, float]]) -> None:
    """Takers, cancellations, timeouts and returns in any order: never above the total, served in order, none lost."""
    asyncio.run(_run(script))


async def _run(script: list[tuple[str, float]]) -> None:
    clock, budget = LoopClock(), BufferBudget(100 * PAGES, wait=5, keep=50 * PAGES)
    takers: list[asyncio.Task[PartBuffer]] = []
    asked: list[int] = []
    given: set[int] = set()

    def out() -> list[int]:
        """Takers that hold a buffer."""
        done = (n for n, taker in enumerate(takers) if taker.done() and not taker.cancelled())
        return [n for n in done if takers[n].exception() is None and n not in given]

    async def settle() -> None:
        await turns()
        assert budget.used == sum(takers[n].result().capacity for n in out()) <= 100 * PAGES
        waiting = [n for n, taker in enumerate(takers) if not taker.done()]
        assert budget.waiting == len(waiting)
        if waiting:
            assert budget.used + asked[waiting[0]] > 100 * PAGES, "the first in the queue would fit"
            assert not [n for n in out() if n > waiting[0]], "somebody overtook the first in the queue"

    for step, value in script:
        match step:
            case "take":
                asked.append(int(value) * PAGES)
                takers.append(asyncio.create_task(budget.take(asked[-1])))
            case "give" if out():
                number = out()[int(value) % len(out())]
                given.add(number)
                budget.give_back(takers[number].result())
            case "cancel" if takers:
                takers[int(value) % len(takers)].cancel()
            case "wait":
                await clock.advance(value)
            case "turn":
                await turns(int(value))
            case "settle":
                await settle()
        assert 0 <= budget.used <= 100 * PAGES
    await settle()
    await clock.advance(5.1)
    await asyncio.gather(*takers, return_exceptions=True)
    for number in out():
        budget.give_back(takers[number].result())
    assert (budget.used, budget.waiting) == (0, 0)


async def test_what_streams_hold_beside_their_buffers_is_of_the_same_budget() -> None:
    """A stream takes its transit when it begins to send, and gives it back with its end."""
    budget = BufferBudget(100, wait=5, transit=20, largest=30)
    await budget.enter()
    await budget.enter()
    buffer = await budget.take(60)
    assert budget.used == 100
    third = asyncio.create_task(budget.enter())
    await turns()
    assert not third.done()
    budget.give_back(buffer)
    await third
    budget.leave()
    budget.leave()
    budget.leave()
    assert (budget.used, budget.waiting) == (0, 0)


async def test_the_largest_buffer_always_fits_beside_the_streams_that_are_in() -> None:
    """Or every stream would wait for a buffer, and none ever got one. One more waits, and is told to come again."""
    clock, budget = LoopClock(), BufferBudget(100, wait=5, transit=20, largest=50)
    await budget.enter()
    await budget.enter()
    late = asyncio.create_task(budget.enter())
    await clock.advance(5.1)
    with pytest.raises(Overloaded):
        await late
    budget.give_back(await budget.take(50))
    budget.leave()
    await budget.enter()
    assert budget.used == 40


async def test_a_stream_that_gives_up_waiting_to_get_in_takes_nothing() -> None:
    """Neither its place nor its bytes."""
    budget = BufferBudget(100, wait=5, transit=20, largest=30)
    buffer = await budget.take(90)
    left = asyncio.create_task(budget.enter())
    await turns()
    left.cancel()
    await asyncio.wait({left})
    budget.give_back(buffer)
    for _ in range(3):
        await asyncio.wait_for(budget.enter(), 1)
    assert budget.used == 60


async def test_a_budget_of_one_buffer_counts_nothing_else() -> None:
    """It was made as small as it can be; then streams share the one buffer."""
    budget = BufferBudget(30, wait=5, transit=20, largest=30)
    for _ in range(50):
        await budget.enter()
    assert (await budget.take(30)).capacity == 30


async def test_what_is_kept_makes_room_for_what_is_in_use() -> None:
    """Kept buffers are part of the budget, not beside it."""
    budget = BufferBudget(100 * PAGES, wait=5, keep=80 * PAGES)
    first, second = await budget.take(40 * PAGES), await budget.take(40 * PAGES)
    memory = first._memory
    budget.give_back(first)
    budget.give_back(second)
    other = await budget.take(30 * PAGES)  # 30 and twice 40 are more than 100: the older one goes
    again = await budget.take(40 * PAGES)
    assert again._memory is not memory
    assert (other.capacity, budget.used) == (30 * PAGES, 70 * PAGES)
