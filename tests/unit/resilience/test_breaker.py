"""`resilience/breaker.py`: what its users rely on. That it does what the design says is `test_breaker_model.py`'s."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from ledgerlift_server.resilience.breaker import (
    BreakerEvent,
    BreakerOptions,
    BreakerState,
    CallRefused,
    CircuitBreaker,
    Outcome,
    Permit,
)

OPTIONS = BreakerOptions(jitter=0.0)


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The breaker's clock."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    """The defaults, without randomness."""
    return CircuitBreaker("storage", OPTIONS, clock=clock)


def end_all(breaker: CircuitBreaker, outcome: Outcome, count: int) -> None:
    """So many calls, one after the other."""
    for _ in range(count):
        breaker.acquire().end(outcome)


def open_it(breaker: CircuitBreaker) -> None:
    """Five failures in a row."""
    end_all(breaker, Outcome.FAILURE, 5)
    assert breaker.snapshot().state is BreakerState.OPEN


def half_open(breaker: CircuitBreaker, clock: Clock) -> None:
    """Open it, and let the recovery timeout pass."""
    open_it(breaker)
    clock.now += 60.0


def refused(breaker: CircuitBreaker) -> float:
    """`retry_after` of a call that is refused now."""
    with pytest.raises(CallRefused) as error:
        breaker.acquire()
    return error.value.retry_after


def test_a_hundred_callers_at_expiry_admit_three(breaker: CircuitBreaker, clock: Clock) -> None:
    """When the recovery timeout is over, of all the threads that rush in three get through, and the rest is told."""
    half_open(breaker, clock)
    together = threading.Barrier(100)

    def rush() -> Permit | None:
        together.wait(60)
        try:
            return breaker.acquire()
        except CallRefused:
            return None

    with ThreadPoolExecutor(100) as threads:
        permits = [done.result() for done in [threads.submit(rush) for _ in range(100)]]
    assert sum(permit is not None for permit in permits) == 3
    assert breaker.snapshot().refused_count == 97


def test_a_cancelled_probe_frees_its_permit(breaker: CircuitBreaker, clock: Clock) -> None:
    """A probe whose caller went says nothing; its place is another's at once, and the breaker stays half-open."""
    half_open(breaker, clock)
    probes = [breaker.acquire() for _ in range(3)]
    assert refused(breaker) == 1.0
    probes[1].end(Outcome.NEUTRAL)
    breaker.acquire()
    assert refused(breaker) == 1.0
    assert breaker.snapshot().state is BreakerState.HALF_OPEN


def test_an_expired_probe_gives_its_place_away(breaker: CircuitBreaker, clock: Clock) -> None:
    """A probe that never ends keeps nobody out for longer than its time, and what it says later is not heard."""
    half_open(breaker, clock)
    lost = [breaker.acquire() for _ in range(3)]
    clock.now += 29.5
    assert refused(breaker) == 0.5
    clock.now += 0.5
    assert breaker.refusal() is None
    probes = [breaker.acquire() for _ in range(3)]
    assert refused(breaker) == 1.0
    for late in lost:
        assert not late.current
        late.end(Outcome.FAILURE)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    assert refused(breaker) == 1.0
    for probe in probes:
        probe.end(Outcome.SUCCESS)
    assert breaker.snapshot().state is BreakerState.CLOSED


def test_late_ends_of_before_do_not_count(breaker: CircuitBreaker, clock: Clock) -> None:
    """Calls that began before the breaker opened neither close it, nor reopen it, nor count when it has closed."""
    before = [breaker.acquire() for _ in range(20)]
    half_open(breaker, clock)
    probe = breaker.acquire()
    for permit in before[:3]:
        assert not permit.current
        permit.end(Outcome.SUCCESS)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    before[3].end(Outcome.FAILURE)
    assert breaker.snapshot().state is BreakerState.HALF_OPEN
    probe.end(Outcome.SUCCESS)
    end_all(breaker, Outcome.SUCCESS, 2)
    assert breaker.snapshot().state is BreakerState.CLOSED
    for permit in before[4:]:
        permit.end(Outcome.FAILURE)
    assert breaker.snapshot().consecutive_failures == 0
    assert breaker.snapshot().window_calls == 0


def test_a_permit_ends_once(breaker: CircuitBreaker) -> None:
    """The first end of a call is what counts; to end it again is no second failure."""
    permit = breaker.acquire()
    permit.end(Outcome.FAILURE)
    for _ in range(10):
        permit.end(Outcome.FAILURE)
    permit.end(Outcome.SUCCESS)
    assert breaker.snapshot().consecutive_failures == 1
    assert breaker.snapshot().window_calls == 1


def test_listeners_are_called_outside_of_the_lock(clock: Clock) -> None:
    """A listener may ask and even reset the breaker it hears of, also from another thread that it waits for."""
    seen = list[tuple[BreakerEvent, BreakerState]]()

    def listen(event: BreakerEvent) -> None:
        with ThreadPoolExecutor(1) as other:
            seen.append((event, other.submit(breaker.snapshot).result(10).state))
        if event.new is BreakerState.OPEN:
            breaker.reset()

    breaker = CircuitBreaker("storage", OPTIONS, clock=clock, on_change=listen)
    end_all(breaker, Outcome.FAILURE, 5)
    assert seen == [
        (BreakerEvent("storage", BreakerState.CLOSED, BreakerState.OPEN, 1000.0), BreakerState.OPEN),
        (BreakerEvent("storage", BreakerState.OPEN, BreakerState.CLOSED, 1000.0), BreakerState.CLOSED),
    ]


def test_listeners_hear_in_order(breaker: CircuitBreaker, clock: Clock) -> None:
    """Who is slow to listen hears of what happens meanwhile afterwards, on the thread that is telling already."""
    heard, listening, go_on = list[BreakerState](), threading.Event(), threading.Event()

    def slow(event: BreakerEvent) -> None:
        listening.set()
        go_on.wait(60)
        heard.append(event.new)

    breaker.subscribe(slow)
    with ThreadPoolExecutor(1) as other:
        opening = other.submit(open_it, breaker)
        assert listening.wait(60)
        clock.now += 60.0
        breaker.acquire().end(Outcome.FAILURE)
        assert heard == []
        go_on.set()
        opening.result(60)
    assert heard == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.OPEN]


def test_a_listener_that_fails_disturbs_nobody(breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture) -> None:
    """The call that opens the breaker ends as it would have, the other listeners hear of it, and the log does."""
    heard = list[BreakerEvent]()

    def fail(_event: BreakerEvent) -> None:
        raise RuntimeError("a defect")

    breaker.subscribe(fail)
    breaker.subscribe(heard.append)
    open_it(breaker)
    assert len(heard) == 1
    assert [record.message for record in caplog.records] == ["breaker_listener_failed"]


def test_the_lock_is_not_held_during_a_call(breaker: CircuitBreaker) -> None:
    """While eight calls are under way, others begin and end, and the breaker answers what it is asked."""
    under_way = [breaker.acquire() for _ in range(8)]
    with ThreadPoolExecutor(1) as other:
        other.submit(end_all, breaker, Outcome.SUCCESS, 3).result(10)
        assert other.submit(breaker.snapshot).result(10).window_calls == 3
    for permit in under_way:
        permit.end(Outcome.SUCCESS)
    assert breaker.snapshot().window_calls == 11


def test_looking_takes_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    """`refusal` leaves all three probes to others, and counts as a refusal only for who says that it is one."""
    open_it(breaker)
    assert breaker.refusal() == 60.0
    assert breaker.snapshot().refused_count == 0
    assert breaker.refusal(counting=True) == 60.0
    assert breaker.snapshot().refused_count == 1
    clock.now += 60.0
    for _ in range(10):
        assert breaker.refusal(counting=True) is None
    assert breaker.snapshot().refused_count == 1
    assert breaker.snapshot().state is BreakerState.OPEN
    assert breaker.snapshot().retry_after == 0.0
    for _ in range(3):
        breaker.acquire()


def test_it_stays_open_longer_each_time_up_to_a_cap(breaker: CircuitBreaker, clock: Clock) -> None:
    """60, 120, 240 and then 300 s while the probes fail; 60 again after it was closed."""
    open_it(breaker)
    waits = [refused(breaker)]
    for _ in range(4):
        clock.now += waits[-1]
        breaker.acquire().end(Outcome.FAILURE)
        waits.append(refused(breaker))
    assert waits == [60.0, 120.0, 240.0, 300.0, 300.0]
    clock.now += 300.0
    end_all(breaker, Outcome.SUCCESS, 3)
    open_it(breaker)
    assert refused(breaker) == 60.0


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 60.0), (0.5, 63.0), (0.999, 65.994)])
def test_replicas_do_not_probe_in_step(clock: Clock, random: float, seconds: float) -> None:
    """Up to a tenth of the recovery timeout comes on top of it, by chance; it is never shorter."""
    breaker = CircuitBreaker("storage", replace(OPTIONS, jitter=0.1), clock=clock, jitter=lambda: random)
    open_it(breaker)
    assert refused(breaker) == pytest.approx(seconds)


def test_the_time_that_the_dependency_took_makes_a_call_slow(breaker: CircuitBreaker, clock: Clock) -> None:
    """A call that queued for a thread for a minute, and then was answered at once, was not slow."""
    permits = [breaker.acquire() for _ in range(40)]
    clock.now += 60.0
    for permit in permits[:20]:
        permit.end(Outcome.SUCCESS, seconds=0.1)
    assert breaker.snapshot().window_slow == 0
    for permit in permits[20:23]:
        permit.end(Outcome.SUCCESS)
    assert breaker.snapshot().window_slow == 3


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.NEUTRAL])
def test_slow_calls_alone_open_it(breaker: CircuitBreaker, clock: Clock, outcome: Outcome) -> None:
    """Twenty calls that take five seconds are an outage, also where they answer, or their callers had to go."""
    permits = [breaker.acquire() for _ in range(20)]
    clock.now += 5.0
    for permit in permits[:19]:
        permit.end(outcome)
    assert breaker.snapshot().state is BreakerState.CLOSED
    permits[19].end(outcome)
    assert breaker.snapshot().state is BreakerState.OPEN


def test_a_reset_forgets(breaker: CircuitBreaker, clock: Clock) -> None:
    """An operator closes it: calls go through, what was counted is gone, and the totals of the process stay."""
    half_open(breaker, clock)
    breaker.acquire().end(Outcome.FAILURE)
    refused(breaker)
    breaker.reset()
    snapshot = breaker.snapshot()
    assert (snapshot.state, snapshot.consecutive_failures, snapshot.window_calls) == (BreakerState.CLOSED, 0, 0)
    assert (snapshot.opened_count, snapshot.refused_count) == (2, 1)
    end_all(breaker, Outcome.FAILURE, 4)
    assert breaker.snapshot().state is BreakerState.CLOSED
    breaker.acquire().end(Outcome.FAILURE)
    assert refused(breaker) == 60.0


def test_its_memory_does_not_grow(breaker: CircuitBreaker, clock: Clock) -> None:
    """A hundred thousand calls in the window leave ten counts behind."""
    for _ in range(100_000):
        clock.now += 0.0001
        breaker.acquire().end(Outcome.SUCCESS)
    assert breaker.snapshot().window_calls == 100_000
    assert len(breaker._window._slices) <= 11


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_threshold": 0},
        {"min_calls": 0},
        {"probes": 0},
        {"window": 0.0},
        {"slow_call": float("nan")},
        {"recovery_timeout": -1.0},
        {"recovery_timeout": 400.0},
        {"probe_timeout": float("inf")},
        {"failure_rate": 0.0},
        {"slow_rate": 1.1},
        {"growth": 0.5},
        {"jitter": 2.0},
    ],
    ids=str,
)
def test_options_that_could_never_work_are_refused(wrong: dict[str, float]) -> None:
    """The field is named."""
    make: Callable[..., BreakerOptions] = BreakerOptions
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)
