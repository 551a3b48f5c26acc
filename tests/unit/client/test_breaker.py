"""The client's breaker and its retry budget; on a clock of the test's own."""

from __future__ import annotations

import grpc
import pytest
from ledgerlift_client import CircuitState, errors
from ledgerlift_client._breaker import CircuitBreaker, Outcome, outcome_of
from ledgerlift_client._budget import RetryBudget
from ledgerlift_client._core import ClientCore, checked_metadata
from ledgerlift_client._fork import ForkWatch
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._retry import Backoff, RetryState

from tests.support.clock import ManualClock

Code = grpc.StatusCode


def breaker(clock: ManualClock, *, answered: bool = False) -> CircuitBreaker:
    """5 failures, 30 s, no jitter; `answered`: somebody has been there before."""
    made = CircuitBreaker("host:1", failures=5, recovery=30.0, grace=10.0, clock=clock, uniform=lambda low, high: low)
    if answered:
        made.admit().end(Outcome.ANSWERED)
    return made


def fail(made: CircuitBreaker, times: int) -> None:
    """So many calls, one after another, that nobody answers."""
    for _ in range(times):
        made.admit().end(Outcome.NOBODY, "connection refused")


def test_an_answer_forgets_the_failures_before_it() -> None:
    """Four, an answer, and four more are not eight in a row."""
    made = breaker(ManualClock())
    fail(made, 4)
    made.admit().end(Outcome.ANSWERED)
    fail(made, 4)
    assert made.status().state is CircuitState.CLOSED


def test_five_failures_in_a_row_open_it() -> None:
    """The sixth call is refused, and told why and until when."""
    made = breaker(ManualClock())
    fail(made, 5)
    with pytest.raises(errors.CircuitOpen, match=r"host:1: 5 calls in a row failed.*connection refused") as refused:
        made.admit()
    assert (refused.value.reason, refused.value.code) == ("CLIENT_CIRCUIT_OPEN", None)
    assert (refused.value.retry_after, refused.value.attempts, refused.value.retryable) == (30.0, 0, True)
    status = made.status()
    assert (status.state, status.failures_in_a_row, status.retry_after) == (CircuitState.OPEN, 5, 30.0)
    assert (status.opened, status.refused, status.last_failure) == (1, 1, "connection refused")


def test_then_one_call_at_a_time_finds_out() -> None:
    """While the probe is out the others are refused; its failure opens it again, its answer closes it."""
    clock = ManualClock()
    made = breaker(clock)
    fail(made, 5)
    clock.advance(30.0)
    probe = made.admit()
    assert made.status().state is CircuitState.HALF_OPEN
    with pytest.raises(errors.CircuitOpen):
        made.admit()
    probe.end(Outcome.NOBODY, "still down")
    assert (made.status().state, made.status().retry_after, made.status().opened) == (CircuitState.OPEN, 30.0, 1)
    clock.advance(30.0)
    made.admit().end(Outcome.ANSWERED)
    assert made.status().state is CircuitState.CLOSED
    made.admit()
    made.admit()


def test_a_probe_that_lasts_or_says_nothing_makes_room_for_another() -> None:
    """An upload may run for minutes, and a call may be given up: the breaker must not wait for them for ever."""
    clock = ManualClock()
    made = breaker(clock)
    fail(made, 5)
    clock.advance(30.0)
    made.admit().end(Outcome.NOTHING)
    long = made.admit()
    clock.advance(29.9)
    with pytest.raises(errors.CircuitOpen):
        made.admit()
    clock.advance(0.1)
    made.admit().end(Outcome.ANSWERED)
    long.end(Outcome.NOBODY, "late")
    assert (made.status().state, made.status().failures_in_a_row) == (CircuitState.CLOSED, 1)


def test_calls_that_break_together_are_one_failure() -> None:
    """Twenty calls on one connection: its break says once that nobody is there, not twenty times."""
    made = breaker(ManualClock())
    permits = [made.admit() for _ in range(20)]
    for permit in permits:
        permit.end(Outcome.NOBODY, "reset")
        permit.end(Outcome.NOBODY, "told twice")
    assert made.status().failures_in_a_row == 1
    made.admit()


def test_a_young_outage_is_probed_often_and_waited_for() -> None:
    """A server that was there restarts; after the grace it is an outage, and calls are refused at once."""
    clock = ManualClock()
    made = breaker(clock, answered=True)
    fail(made, 5)
    for _ in range(39):
        assert made.worth_waiting()
        assert made.status().retry_after == 0.25
        clock.advance(0.25)
        fail(made, 1)
    clock.advance(0.25)
    fail(made, 1)
    assert not made.worth_waiting()
    assert made.status().retry_after == 1.0  # a tenth of its age


def test_a_young_outage_is_waited_for_though_its_probe_hangs() -> None:
    """A network that swallows everything gives no answer to the probe either, until it is back."""
    clock = ManualClock()
    made = breaker(clock, answered=True)
    fail(made, 5)
    clock.advance(0.25)
    made.admit()
    clock.advance(9.0)
    assert made.worth_waiting()
    clock.advance(1.0)
    assert not made.worth_waiting()


DEADLINE = 30.0
"""Of a call, as `ClientOptions` have it."""


def call_through(made: CircuitBreaker, clock: ManualClock, ends_at: float) -> int:
    """A short call of a client whose target nobody answers until `ends_at`; the attempts that reached the network.

    Raises what the caller would be told.
    """
    options = ClientOptions()
    state = RetryState(
        Backoff(options.backoff_base, options.backoff_cap),
        deadline=clock() + DEADLINE,
        max_attempts=options.max_attempts,
        answered_before=True,
        clock=clock,
        uniform=lambda low, high: high,
    )
    sent = 0
    while True:
        try:
            permit = made.admit()
        except errors.CircuitOpen as refusal:
            clock.advance(state.refused(refusal, soon=made.worth_waiting()))
            continue
        sent += 1
        state.begins(probe=made.probing(permit))
        if clock() >= ends_at:
            permit.end(Outcome.ANSWERED)
            return sent
        permit.end(Outcome.NOBODY, "no healthy upstream")
        clock.advance(state.after(errors.Unavailable("no healthy upstream", retryable=True)))


def defaults(clock: ManualClock) -> CircuitBreaker:
    """With the options of a client, without luck, behind a first answer."""
    options = ClientOptions()
    made = CircuitBreaker(
        "host:1",
        failures=options.breaker_failures,
        recovery=options.breaker_recovery,
        grace=options.breaker_grace,
        clock=clock,
        uniform=lambda low, high: high,
    )
    made.admit().end(Outcome.ANSWERED)
    return made


@pytest.mark.parametrize("lasts", [1.0, 9.0, 11.0, 20.0, 28.0])
def test_an_outage_that_a_deadline_outlasts_fails_nobody(lasts: float) -> None:
    """The call that meets it first comes through a moment behind its end, and so does one that comes later."""
    clock = ManualClock()
    made, began = defaults(clock), clock()
    call_through(made, clock, began + lasts)
    assert clock() - began - lasts < 2.1  # the longest of the waits before the breaker opens
    clock = ManualClock()
    made, began = defaults(clock), clock()
    fail(made, 5)
    clock.advance(lasts / 2)
    call_through(made, clock, began + lasts)
    assert clock() - began - lasts < 1.1


@pytest.mark.parametrize(("lasts", "most_probes"), [(60.0, 150), (300.0, 180), (3600.0, 280)])
def test_the_end_of_a_long_outage_is_found_out_soon(lasts: float, most_probes: int) -> None:
    """Behind the grace callers are refused at once, probes become rare, and yet no eighth of its time is lost."""
    clock = ManualClock()
    made, began = defaults(clock), clock()
    probes = 0
    while True:
        try:
            permit = made.admit()
        except errors.CircuitOpen:
            assert made.worth_waiting() == (clock() - began < ClientOptions().breaker_grace)
            clock.advance(0.1)
            continue
        if clock() >= began + lasts:
            break
        probes += 1
        permit.end(Outcome.NOBODY, "connection refused")
    assert clock() - began - lasts <= min(lasts / 8, ClientOptions().breaker_recovery * 1.2) + 0.1
    assert probes <= most_probes


def test_a_target_where_nobody_ever_was_is_not_waited_for() -> None:
    """It is probably wrong, and a person waits."""
    made = breaker(ManualClock())
    fail(made, 5)
    assert not made.worth_waiting()


def error(code: Code | None, reason: str = "") -> errors.LedgerLiftError:
    """A failure as decoded."""
    return errors.LedgerLiftError("x", code=code, reason=reason)


@pytest.mark.parametrize(
    ("failed", "outcome"),
    [
        (error(Code.UNAVAILABLE), Outcome.NOBODY),
        (error(Code.DEADLINE_EXCEEDED), Outcome.NOBODY),
        (error(Code.INTERNAL), Outcome.NOBODY),
        (error(Code.UNKNOWN), Outcome.NOBODY),
        (error(Code.CANCELLED), Outcome.NOBODY),
        (error(Code.UNAVAILABLE, "CIRCUIT_OPEN"), Outcome.ANSWERED),
        (error(Code.RESOURCE_EXHAUSTED, "OVERLOADED"), Outcome.ANSWERED),
        (error(Code.NOT_FOUND, "DOCUMENT_NOT_FOUND"), Outcome.ANSWERED),
        (error(Code.UNIMPLEMENTED), Outcome.ANSWERED),
        (error(Code.UNAUTHENTICATED), Outcome.ANSWERED),
        (error(Code.RESOURCE_EXHAUSTED), Outcome.NOTHING),
        (error(None), Outcome.NOTHING),
    ],
)
def test_what_counts_is_whether_anybody_answered(failed: errors.LedgerLiftError, outcome: Outcome) -> None:
    """LedgerLift's own refusals are answers, whatever their code."""
    assert outcome_of(failed) is outcome


def test_a_deadline_shorter_than_usual_says_nothing_of_the_server() -> None:
    """A caller in a hurry must not shut the door for the others."""
    assert outcome_of(error(Code.DEADLINE_EXCEEDED), gave_time=False) is Outcome.NOTHING


# The budget


def test_a_budget_is_spent_by_retries_and_earned_by_success() -> None:
    """A tenth for any success, and the whole retry back where it was of use; never more than fits."""
    budget = RetryBudget(2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(9):
        budget.succeeded(retried=False)
    assert not budget.take()
    budget.succeeded(retried=True)
    assert budget.left == pytest.approx(2.0)
    budget.succeeded(retried=True)
    assert budget.left == 2.0


def test_without_budget_a_call_is_one_attempt_and_a_transfer_goes_on() -> None:
    """What has begun is bounded by its progress."""
    budget = RetryBudget(1)
    failed = errors.Unavailable("down", retryable=True)

    def state(**more: float) -> RetryState:
        return RetryState(Backoff(0.1, 1.0), budget=budget, **more)  # type: ignore[arg-type]  # patience only

    state().after(failed)
    with pytest.raises(errors.Unavailable):
        state().after(failed)
    transfer = state(patience=60.0)
    transfer.begun()
    for _ in range(5):
        transfer.after(failed)
    assert budget.left < 1


def test_a_call_that_the_breaker_stops_tells_what_it_saw_itself() -> None:
    """Before any attempt, the breaker's refusal; behind failures of its own, the last of these, and their number."""
    core = ClientCore("host:1", ClientOptions(), ())
    fail(core.breaker, 5)
    with pytest.raises(errors.CircuitOpen):
        core.try_admit(core.retry_state(None))
    state = core.retry_state(None)
    own = errors.Unavailable("mine", retryable=True)
    state.after(own)
    with pytest.raises(errors.Unavailable) as raised:
        core.try_admit(state)
    assert raised.value is own
    assert own.attempts == 1


def test_a_transfer_waits_for_the_breaker_as_long_as_its_patience() -> None:
    """It looks again and again; a short call does not wait for an outage."""
    clock = ManualClock()
    state = RetryState(Backoff(0.1, 1.0), patience=60.0, clock=clock)
    refusal = errors.CircuitOpen("open", reason="CLIENT_CIRCUIT_OPEN", retry_after=30.0)
    assert 0 < state.refused(refusal, soon=False) <= 0.2
    clock.advance(59.9)
    with pytest.raises(errors.CircuitOpen):
        state.refused(refusal, soon=False)
    with pytest.raises(errors.CircuitOpen):
        RetryState(Backoff(0.1, 1.0), max_attempts=6, clock=clock).refused(refusal, soon=False)
    assert RetryState(Backoff(0.1, 1.0), max_attempts=6, clock=clock).refused(refusal, soon=True) > 0


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"Authorization": "x"}, "lower case"),
        ({"grpc-timeout": "1"}, "gRPC"),
        ({"x-request-id": "1"}, "request_id"),
        ({"a-bin": "text"}, "a-bin"),
        ({"a": b"bytes"}, "value of a"),
        ([("a", "line\nbreak")], "value of a"),
    ],
)
def test_metadata_that_cannot_be_sent_is_refused_when_the_client_is_made(metadata: object, what: str) -> None:
    """grpc would say so in the middle of the first call."""
    with pytest.raises(ValueError, match=what):
        checked_metadata(metadata)  # type: ignore[arg-type]  # what a caller might do


def test_grpc_cannot_be_used_in_the_child_of_a_process_that_used_it() -> None:
    """Not even by a client that the child makes, unless gRPC looks after forks itself."""
    fresh, used, supported = ForkWatch(supported=False), ForkWatch(supported=False), ForkWatch(supported=True)
    used.use()
    supported.use()
    for watch in (fresh, used, supported):
        watch.forked()
    fresh.use()
    supported.use()
    with pytest.raises(RuntimeError, match="spawn"):
        used.use()


def test_a_client_in_a_forked_process_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number has changed: grpc's threads are not there."""
    core = ClientCore("host:1", ClientOptions(), ())
    core.usable()
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="forked"):
        core.usable()
