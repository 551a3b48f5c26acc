"""When to try again, and after how long; on a clock of the test's own."""

from __future__ import annotations

import pytest
from ledgerlift_client._retry import Backoff, RetryState
from ledgerlift_client.errors import NotConnected, TlsFailed, Unavailable

from tests.support.clock import ManualClock


def most(low: float, high: float) -> float:
    """The unluckiest draw."""
    return high


def least(low: float, high: float) -> float:
    """The luckiest draw."""
    return low


def failing(retry_after: float | None = None) -> Unavailable:
    """A failure that may pass."""
    return Unavailable("down", retryable=True, retry_after=retry_after)


def test_the_bound_of_a_wait_doubles_up_to_its_cap() -> None:
    """Full jitter: between 0 and base, then twice that, and never more than the cap."""
    backoff = Backoff(base=0.2, cap=1.0)
    assert [backoff.delay(n, most) for n in range(1, 6)] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])
    assert [backoff.delay(n, least) for n in (1, 5)] == [0.0, 0.0]
    assert backoff.delay(10_000, most) == 1.0


def test_attempts_are_counted_and_end() -> None:
    """The last allowed failure is raised itself, with the number of calls that were made."""
    state = RetryState(Backoff(0.1, 1.0), max_attempts=3, uniform=most)
    state.after(failing())
    state.after(failing())
    last = failing()
    with pytest.raises(Unavailable) as raised:
        state.after(last)
    assert raised.value is last
    assert (last.attempts, state.attempts) == (3, 3)


def test_a_call_that_never_left_is_no_attempt() -> None:
    """Where somebody has answered before: it is waited for, a second at a time, up to the deadline."""
    clock = ManualClock()
    state = RetryState(
        Backoff(0.25, 10.0), max_attempts=2, deadline=clock() + 6.0, answered_before=True, clock=clock, uniform=most
    )
    for wait in (0.25, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0):
        assert state.after(NotConnected("nobody there", retryable=True)) == wait
        clock.advance(wait)
    with pytest.raises(NotConnected):
        state.after(NotConnected("nobody there", retryable=True))


def test_a_call_that_never_left_counts_where_nobody_has_ever_answered() -> None:
    """A wrong target is told soon."""
    state = RetryState(Backoff(0.25, 10.0), max_attempts=2, uniform=most)
    state.after(NotConnected("nobody there", retryable=True))
    with pytest.raises(NotConnected):
        state.after(NotConnected("nobody there", retryable=True))


def test_tls_that_fails_is_told_at_once_where_nobody_has_ever_answered() -> None:
    """A wrong authority stays wrong; a server that has answered may be about to get its new certificate."""
    failed = TlsFailed("not trusted", retryable=True)
    with pytest.raises(TlsFailed):
        RetryState(Backoff(0.25, 10.0), max_attempts=6).after(failed)
    assert RetryState(Backoff(0.25, 10.0), answered_before=True, uniform=most).after(failed) == 0.25


def test_what_the_server_asks_for_is_waited_for_with_jitter_on_top() -> None:
    """Clients that were all told 5 s do not all come back in the same instant, and none comes earlier."""
    assert RetryState(Backoff(0.2, 1.0), uniform=most).after(failing(5.0)) == pytest.approx(5.2)
    assert RetryState(Backoff(0.2, 1.0), uniform=least).after(failing(5.0)) == 5.0


def test_a_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    """The failure is raised at once, not after a sleep that can help nobody."""
    clock = ManualClock()
    state = RetryState(Backoff(0.1, 1.0), deadline=clock() + 2.0, clock=clock, uniform=most)
    assert state.after(failing(1.0)) == pytest.approx(1.1)
    clock.advance(1.1)
    with pytest.raises(Unavailable):
        state.after(failing(1.0))


def test_steps_are_shortened_to_the_deadline() -> None:
    """No step may take longer than what the whole has left."""
    clock = ManualClock()
    state = RetryState(Backoff(0.1, 1.0), deadline=clock() + 3.0, clock=clock)
    assert state.time_left(10.0) == 3.0
    clock.advance(5.0)
    assert state.time_left(10.0) == 0.0
    assert RetryState(Backoff(0.1, 1.0)).time_left(10.0) == 10.0


def test_once_begun_patience_counts_and_not_attempts() -> None:
    """A transfer that has begun outlives a restart that takes many attempts."""
    clock = ManualClock()
    state = RetryState(Backoff(0.1, 1.0), max_attempts=2, patience=60.0, clock=clock, uniform=most)
    state.begun()
    for _ in range(50):
        clock.advance(state.after(failing()))
    clock.advance(60.0)
    with pytest.raises(Unavailable):
        state.after(failing())


def test_progress_renews_patience_and_forgets_failures() -> None:
    """Only the time without progress counts, and waits begin small again."""
    clock = ManualClock()
    state = RetryState(Backoff(0.1, 100.0), patience=10.0, clock=clock, uniform=most)
    for _ in range(5):
        clock.advance(9.0)
        assert state.after(failing()) == pytest.approx(0.1)
        state.progressed()


def test_a_pause_costs_no_attempt() -> None:
    """Waiting for somebody else's work is no failure, but it has an end."""
    clock = ManualClock()
    state = RetryState(Backoff(0.1, 1.0), max_attempts=1, patience=10.0, clock=clock)
    assert state.pause(1.0, failing()) == 1.0
    assert state.attempts == 1
    clock.advance(9.5)
    with pytest.raises(Unavailable):
        state.pause(1.0, failing())
