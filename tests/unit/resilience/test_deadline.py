"""`resilience/deadline.py`: made once at the edge, shortened on the way down, never lengthened."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from ledgerlift_server.resilience.deadline import (
    Deadline,
    current_deadline,
    deadline_scope,
    time_left,
)

from tests.support.clock import ManualClock


def test_what_remains_shrinks_with_the_clock_and_ends_at_zero() -> None:
    """A passed deadline leaves nothing, not less than nothing."""
    clock = ManualClock()
    deadline = Deadline.after(5.0, clock=clock)
    assert deadline.remaining() == 5.0
    clock.advance(3.0)
    assert deadline.remaining() == 2.0
    clock.advance(100.0)
    assert deadline.remaining() == 0.0


def test_without_a_deadline_a_step_takes_what_it_is_allowed() -> None:
    """Nobody waits, so that only the step's own limit counts."""
    assert current_deadline() is None
    assert time_left(7.0) == 7.0


@pytest.mark.parametrize(("limit", "left"), [(2.0, 2.0), (30.0, 5.0)])
def test_a_step_takes_the_least_of_its_limit_and_what_is_left(limit: float, left: float) -> None:
    """Neither the caller's deadline nor the step's own limit is overrun."""
    with deadline_scope(Deadline.after(5.0, clock=ManualClock())):
        assert time_left(limit) == left


@pytest.mark.parametrize(("inner", "expected"), [(2.0, 2.0), (60.0, 5.0)])
def test_nesting_only_shortens(inner: float, expected: float) -> None:
    """An inner scope that asks for more gets what the enclosing one has."""
    clock = ManualClock()
    with deadline_scope(Deadline.after(5.0, clock=clock)) as outer:
        with deadline_scope(Deadline.after(inner, clock=clock)) as effective:
            assert current_deadline() is effective
            assert effective.remaining() == expected
        assert current_deadline() is outer
    assert current_deadline() is None


def test_a_detached_scope_does_not_know_the_enclosing_one() -> None:
    """Work of the server's own has its own time, and its caller's deadline is back afterwards."""
    clock = ManualClock()
    with deadline_scope(Deadline.after(1.0, clock=clock)) as outer:
        with deadline_scope(Deadline.after(300.0, clock=clock), detached=True) as own:
            assert current_deadline() is own
            assert time_left(1000.0) == 300.0
        assert current_deadline() is outer


def test_a_failure_inside_leaves_the_enclosing_deadline() -> None:
    """The scope ends with its block, however the block ends."""
    outer = Deadline.after(9.0, clock=ManualClock())
    with deadline_scope(outer):
        with pytest.raises(RuntimeError), deadline_scope(Deadline.after(1.0, clock=ManualClock())):
            raise RuntimeError
        assert current_deadline() is outer


async def test_a_task_keeps_the_deadline_that_it_was_begun_under() -> None:
    """The deadline goes with the context: into tasks, and not back out of them."""
    deadline = Deadline.after(9.0, clock=ManualClock())

    async def look() -> Deadline | None:
        return current_deadline()

    with deadline_scope(deadline):
        inside = asyncio.create_task(look())
    outside = asyncio.create_task(look())
    assert await inside is deadline
    assert await outside is None


def test_another_context_is_left_alone() -> None:
    """Two requests do not see each other's deadlines."""
    other = contextvars.copy_context()
    with deadline_scope(Deadline.after(1.0, clock=ManualClock())):
        assert other.run(current_deadline) is None
