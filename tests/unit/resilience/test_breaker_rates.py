"""`resilience/breaker.py`: rates and times, with the figures of the design; options that make no sense."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ledgerlift_server.resilience.breaker import (
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
    Outcome,
)

from tests.support.breakers import end_all
from tests.support.clock import ManualClock


def test_the_time_that_the_dependency_took_makes_a_call_slow(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """A call that queued for a thread for a minute, and then was answered at once, was not slow."""
    permits = [breaker.acquire() for _ in range(40)]
    clock.advance(60.0)
    for permit in permits[:20]:
        permit.end(Outcome.SUCCESS, seconds=0.1)
    assert breaker.snapshot().window_slow == 0
    for permit in permits[20:23]:
        permit.end(Outcome.SUCCESS)
    assert breaker.snapshot().window_slow == 3


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.NEUTRAL])
def test_slow_calls_alone_open_it(breaker: CircuitBreaker, clock: ManualClock, outcome: Outcome) -> None:
    """Twenty calls that take five seconds are an outage, also where they answer, or their callers had to go."""
    permits = [breaker.acquire() for _ in range(20)]
    clock.advance(5.0)
    for permit in permits[:19]:
        permit.end(outcome)
    assert breaker.snapshot().state is BreakerState.CLOSED
    permits[19].end(outcome)
    assert breaker.snapshot().state is BreakerState.OPEN


def test_half_of_twenty_calls_that_fail_open_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """Failures between successes open it as soon as they are half of at least twenty calls, and no sooner."""
    for _ in range(9):
        end_all(breaker, Outcome.SUCCESS, 1)
        end_all(breaker, Outcome.FAILURE, 1)
    end_all(breaker, Outcome.SUCCESS, 2)
    end_all(breaker, Outcome.FAILURE, 1)
    assert breaker.snapshot().state is BreakerState.CLOSED
    end_all(breaker, Outcome.FAILURE, 1)
    assert breaker.snapshot().state is BreakerState.OPEN


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
