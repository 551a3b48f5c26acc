"""`resilience/breaker.py`: what its users rely on. That it does what the design says is `test_breaker_model.py`'s."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from ledgerlift_server.resilience.breaker import (
    BreakerEvent,
    BreakerState,
    CallRefused,
    CircuitBreaker,
    Outcome,
    Permit,
)

from tests.support.breakers import OPTIONS, end_all
from tests.support.clock import ManualClock


def open_it(breaker: CircuitBreaker) -> None:
    """Five failures in a row."""
    end_all(breaker, Outcome.FAILURE, 5)
    assert breaker.snapshot().state is BreakerState.OPEN


def half_open(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Open it, and let the recovery timeout pass."""
    open_it(breaker)
    clock.advance(60.0)


def refused(breaker: CircuitBreaker) -> float:
    """`retry_after` of a call that is refused now."""
    with pytest.raises(CallRefused) as error:
        breaker.acquire()
    return error.value.retry_after


def test_a_hundred_callers_at_expiry_admit_three(breaker: CircuitBreaker, clock: ManualClock) -> None:
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


def test_a_cancelled_probe_frees_its_permit(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """A probe whose caller went says nothing; its place is another's at once, and the breaker stays half-open."""
    half_open(breaker, clock)
    probes = [breaker.acquire() for _ in range(3)]
    assert refused(breaker) == 1.0
    probes[1].end(Outcome.NEUTRAL)
    breaker.acquire()
    assert refused(breaker) == 1.0
    assert breaker.snapshot().state is BreakerState.HALF_OPEN


def test_an_expired_probe_gives_its_place_away(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """A probe that never ends keeps nobody out for longer than its time, and what it says later is not heard."""
    half_open(breaker, clock)
    lost = [breaker.acquire() for _ in range(3)]
    clock.advance(29.5)
    assert refused(breaker) == 0.5
    clock.advance(0.5)
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


def test_late_ends_of_before_do_not_count(breaker: CircuitBreaker, clock: ManualClock) -> None:
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


def test_listeners_are_called_outside_of_the_lock(clock: ManualClock) -> None:
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


def test_listeners_hear_in_order(breaker: CircuitBreaker, clock: ManualClock) -> None:
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
        clock.advance(60.0)
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


def test_looking_takes_nothing(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """`refusal` leaves all three probes to others, and counts as a refusal only for who says that it is one."""
    open_it(breaker)
    assert breaker.refusal() == 60.0
    assert breaker.snapshot().refused_count == 0
    assert breaker.refusal(counting=True) == 60.0
    assert breaker.snapshot().refused_count == 1
    clock.advance(60.0)
    for _ in range(10):
        assert breaker.refusal(counting=True) is None
    assert breaker.snapshot().refused_count == 1
    assert breaker.snapshot().state is BreakerState.OPEN
    assert breaker.snapshot().retry_after == 0.0
    for _ in range(3):
        breaker.acquire()


def test_it_stays_open_longer_each_time_up_to_a_cap(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """60, 120, 240 and then 300 s while the probes fail; 60 again after it was closed."""
    open_it(breaker)
    waits = [refused(breaker)]
    for _ in range(4):
        clock.advance(waits[-1])
        breaker.acquire().end(Outcome.FAILURE)
        waits.append(refused(breaker))
    assert waits == [60.0, 120.0, 240.0, 300.0, 300.0]
    clock.advance(300.0)
    end_all(breaker, Outcome.SUCCESS, 3)
    open_it(breaker)
    assert refused(breaker) == 60.0


@pytest.mark.parametrize(("random", "seconds"), [(0.0, 60.0), (0.5, 63.0), (0.999, 65.994)])
def test_replicas_do_not_probe_in_step(clock: ManualClock, random: float, seconds: float) -> None:
    """Up to a tenth of the recovery timeout comes on top of it, by chance; it is never shorter."""
    breaker = CircuitBreaker("storage", replace(OPTIONS, jitter=0.1), clock=clock, jitter=lambda: random)
    open_it(breaker)
    assert refused(breaker) == pytest.approx(seconds)


def test_a_reset_forgets(breaker: CircuitBreaker, clock: ManualClock) -> None:
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


def test_its_memory_does_not_grow(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """A hundred thousand calls in the window leave ten counts behind."""
    for _ in range(100_000):
        clock.advance(0.0001)
        breaker.acquire().end(Outcome.SUCCESS)
    assert breaker.snapshot().window_calls == 100_000
    assert len(breaker._window._slices) <= 11
