"""`resilience/retry.py`: a further attempt is bounded in number, in time, by the deadline and by the budget."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope
from ledgerlift_server.resilience.retry import Attempts, RetryBudget, RetryPolicy

from tests.support.clock import ManualClock

POLICY = RetryPolicy(first_pause=0.1, longest_pause=1.0, max_attempts=6, patience=60.0)

times = st.floats(0, 100)
jitters = st.floats(0, 1, exclude_max=True)


@st.composite
def policies(draw: st.DrawFn) -> RetryPolicy:
    """Any that can be made."""
    first, longest = sorted((draw(times), draw(times)))
    return RetryPolicy(first, longest, draw(st.integers(1, 2000)), draw(times))


def _attempts(
    policy: RetryPolicy, clock: ManualClock, budget: RetryBudget | None = None, jitter: float = 1.0
) -> Attempts:
    return Attempts(policy, budget, clock=clock, jitter=lambda: jitter)


def _pauses(attempts: Attempts, clock: ManualClock) -> list[float]:
    """Of a call whose every attempt fails at once."""
    pauses: list[float] = []
    while (pause := attempts.again()) is not None:
        pauses.append(pause)
        clock.advance(pause)
    return pauses


def test_the_ceiling_of_the_pause_doubles_up_to_the_longest() -> None:
    """And the attempts end with the last one that is allowed."""
    clock = ManualClock()
    attempts = _attempts(POLICY, clock)
    assert _pauses(attempts, clock) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])
    assert attempts.made == 6


def test_the_pause_is_anything_from_nothing_to_its_ceiling() -> None:
    """Full jitter: who failed together does not come back together."""
    source = random.Random(7)  # noqa: S311 - not to be secret
    pauses = [Attempts(POLICY, jitter=source.random).again() for _ in range(2000)]
    known = [pause for pause in pauses if pause is not None]
    assert len(known) == len(pauses)
    assert min(known) < 0.001
    assert 0.099 < max(known) < 0.1
    assert statistics.mean(known) == pytest.approx(0.05, rel=0.05)


@given(policies(), st.lists(st.tuples(jitters, times), min_size=1, max_size=30))
def test_attempts_and_patience_are_bounds(policy: RetryPolicy, course: list[tuple[float, float]]) -> None:
    """However long an attempt takes: no more of them than allowed, and none that begins too late."""
    clock = ManualClock(0.0)
    random_numbers = iter([jitter for jitter, _ in course])
    attempts = Attempts(policy, clock=clock, jitter=lambda: next(random_numbers))
    for _, takes in course:
        clock.advance(takes)
        made = attempts.made
        pause = attempts.again()
        if pause is None:
            assert attempts.made == made
            assert made == policy.max_attempts or clock() >= policy.patience
            return
        assert attempts.made == made + 1 <= policy.max_attempts
        assert 0 <= pause <= policy.longest_pause
        clock.advance(pause)
        assert clock() <= policy.patience * (1 + 1e-9)


@given(st.integers(1, 5000), jitters)
def test_a_pause_is_a_number_after_any_attempt(attempt: int, jitter: float) -> None:
    """The doubling does not end in an overflow."""
    assert 0 <= RetryPolicy(0.01, 5.0, 10_000, 60.0).pause(attempt, jitter) < 5.0


def test_the_last_pause_ends_with_the_patience() -> None:
    """An outage as long as the patience is sat out; a longer one is not waited for."""
    clock = ManualClock()
    attempts = _attempts(RetryPolicy(2.0, 2.0, 100, patience=5.0), clock)
    assert _pauses(attempts, clock) == [2.0, 2.0, 1.0]


def test_the_time_of_an_attempt_counts() -> None:
    """What is left of the patience is what the attempts before have left."""
    clock = ManualClock()
    attempts = _attempts(RetryPolicy(1.0, 1.0, 100, patience=5.0), clock)
    clock.advance(5.0)
    assert attempts.again() is None


def test_no_pause_outlives_the_deadline() -> None:
    """Its caller would not be there any more: it hears of the failure now."""
    clock = ManualClock()
    with deadline_scope(Deadline.after(1.0, clock=clock)):
        attempts = _attempts(POLICY, clock)
        assert _pauses(attempts, clock) == pytest.approx([0.1, 0.2, 0.4])
    assert attempts.again() is not None


def test_what_the_other_side_asks_for_is_waited() -> None:
    """With jitter on top of it, or all that were told the same would come at once."""
    clock = ManualClock()
    attempts = _attempts(POLICY, clock, jitter=0.5)
    assert attempts.again(at_least=2.0) == pytest.approx(2.05)


def test_an_attempt_that_would_come_too_early_is_not_made() -> None:
    """The other side asks for more than the patience leaves."""
    clock = ManualClock()
    attempts = _attempts(RetryPolicy(1.0, 1.0, 100, patience=5.0), clock)
    assert attempts.again(at_least=5.1) is None
    assert attempts.again(at_least=5.0) == 5.0


def test_an_empty_budget_ends_the_attempts() -> None:
    """Three calls that all fail: together they make no more further attempts than there are tokens."""
    clock, budget = ManualClock(), RetryBudget(7.0, 0.5)
    made = [len(_pauses(_attempts(POLICY, clock, budget), clock)) for _ in range(3)]
    assert made == [5, 2, 0]


def test_successes_pay_for_further_attempts() -> None:
    """A part of a token each, and never more than there were at first."""
    clock, budget = ManualClock(), RetryBudget(2.0, 0.5)
    for _ in range(100):
        _attempts(POLICY, clock, budget).succeeded()
    assert budget.tokens == 2.0
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.succeeded()
    assert not budget.take()
    budget.succeeded()
    assert budget.take()


def test_a_budget_counts_what_it_allows_and_what_it_denies() -> None:
    """Attempts paid for, and those that there was nothing left for; a success is neither."""
    clock, budget = ManualClock(), RetryBudget(2.0, 0.5)
    for _ in range(3):
        _pauses(_attempts(POLICY, clock, budget), clock)
    assert (budget.taken, budget.denied) == (2, 3)
    budget.succeeded()
    assert (budget.taken, budget.denied) == (2, 3)


def test_what_is_refused_for_another_reason_costs_no_token() -> None:
    """The deadline, the patience and the number are looked at first."""
    clock, budget = ManualClock(), RetryBudget(2.0, 0.5)
    with deadline_scope(Deadline.after(0.05, clock=clock)):
        assert _attempts(POLICY, clock, budget).again() is None
    assert _attempts(RetryPolicy(1.0, 1.0, 1, 60.0), clock, budget).again() is None
    assert budget.tokens == 2.0


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 20), st.floats(0, 1))
def test_a_budget_is_what_it_was_filled_with(course: list[bool], tokens: int, refill: float) -> None:
    """Never below nothing, never above its capacity, and no more taken than was there and came back."""
    budget = RetryBudget(tokens, refill)
    taken = successes = 0
    for take in course:
        if take:
            taken += budget.take()
        else:
            budget.succeeded()
            successes += 1
        assert 0 <= budget.tokens <= tokens
        assert taken <= tokens + successes * refill + 1e-6


class _Yielding(float):
    """Tokens whose every use lets another thread go first: the interpreter alone would switch too seldom."""

    def __lt__(self, other: float) -> bool:
        time.sleep(0.0005)
        return super().__lt__(other)

    def __sub__(self, other: float) -> _Yielding:
        return _Yielding(super().__sub__(other))


def test_threads_share_a_budget() -> None:
    """No token is given out twice, none is lost."""
    budget = RetryBudget(_Yielding(50.0), 0.0)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: budget.take(), range(80)))
    assert taken.count(True) == 50
    assert budget.tokens == 0.0


async def test_it_is_used_on_the_loop_as_on_a_thread() -> None:
    """It never waits by itself; two calls at once do not disturb each other."""

    async def call(failures: int) -> int:
        attempts = Attempts(RetryPolicy(0.001, 0.001, 10, 5.0))
        for _ in range(failures):
            pause = attempts.again()
            assert pause is not None
            await asyncio.sleep(pause)
        return attempts.made

    assert list(await asyncio.gather(call(3), call(5))) == [4, 6]


@pytest.mark.parametrize(
    "wrong", [{"max_attempts": 0}, {"patience": -1.0}, {"first_pause": -0.1}, {"first_pause": 2.0}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    """When it is made, not when something fails."""
    values = {"first_pause": 0.1, "longest_pause": 1.0, "max_attempts": 6, "patience": 60.0} | wrong
    with pytest.raises(ValueError, match="must"):
        RetryPolicy(**values)  # type: ignore[arg-type]  # floats, the one int among them too
