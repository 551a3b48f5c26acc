"""`resilience/breaker.py` against a model of it that remembers everything and counts it again each time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgerlift_server.resilience.breaker import (
    BreakerOptions,
    BreakerState,
    CallRefused,
    CircuitBreaker,
    Outcome,
    Permit,
)

OPTIONS = BreakerOptions(
    window=10.0,
    failure_rate=0.5,
    slow_rate=0.8,
    slow_call=4.0,
    recovery_timeout=20.0,
    max_recovery_timeout=50.0,
    growth=2.0,
    jitter=0.1,
    probes=2,
    probe_timeout=15.0,
)
JITTER = 0.5
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@dataclass(eq=False)
class Call:
    """A call that was let through. `era` is the number of changes of state before it."""

    era: int
    began: float
    probe: bool
    over: bool = False


@dataclass
class Model:
    """What section 6 of the design says, as plainly as it can be said."""

    threshold: int
    min_calls: int
    now: float = 0.0
    era: int = 0
    state: BreakerState = CLOSED
    opens_in_a_row: int = 0
    open_until: float = 0.0
    ended: list[tuple[float, Outcome, bool]] = field(default_factory=list)
    """(when, outcome, slow) of this era."""
    calls: list[Call] = field(default_factory=list)

    def probes_out(self) -> list[Call]:
        """Probes of this era that are neither over nor expired."""
        return [c for c in self.calls if c.probe and c.era == self.era and not c.over and self.now < c.began + 15.0]

    def refusal(self) -> float | None:
        """When to come again."""
        if self.state is OPEN and self.now < self.open_until:
            return self.open_until - self.now
        if self.state is HALF_OPEN and len(self.probes_out()) >= 2:
            return min(1.0, *(call.began + 15.0 - self.now for call in self.probes_out()))
        return None

    def acquire(self) -> None:
        """A call comes that is let through."""
        if self.state is OPEN:
            self.change(HALF_OPEN)
        self.calls.append(Call(self.era, self.now, self.state is HALF_OPEN))

    def end(self, call: Call, outcome: Outcome) -> None:
        """A call is over."""
        counts = call.era == self.era and not call.over and not (call.probe and self.now >= call.began + 15.0)
        call.over = True
        slow = self.now - call.began >= 4.0
        if counts:
            self.ended.append((self.now, outcome, slow))
            if self.state is CLOSED and self.is_bad():
                self.open()
            elif self.state is HALF_OPEN:
                answers = [was_slow for _, what, was_slow in self.ended if what is not Outcome.NEUTRAL]
                if outcome is Outcome.FAILURE or answers.count(True) >= 0.8 * 2:
                    self.open()
                elif len(answers) == 2:
                    self.change(CLOSED)

    def is_bad(self) -> bool:
        """Too many failures in a row, or half failed or four fifths slow of enough of them in the window."""
        clear = [outcome for _, outcome, _ in self.ended if outcome is not Outcome.NEUTRAL]
        window = self.window()
        failed = sum(outcome is Outcome.FAILURE for outcome, _ in window)
        slow = sum(slow for _, slow in window)
        enough = len(window) >= self.min_calls
        return (
            clear[-self.threshold :] == [Outcome.FAILURE] * self.threshold
            or (enough and failed >= 0.5 * len(window))
            or (enough and slow >= 0.8 * len(window))
        )

    def window(self) -> list[tuple[Outcome, bool]]:
        """(outcome, slow) of what ended in this second or the nine before; a NEUTRAL one only if it was slow."""
        return [
            (outcome, slow)
            for at, outcome, slow in self.ended
            if int(at) > int(self.now) - 10 and (slow or outcome is not Outcome.NEUTRAL)
        ]

    def open(self) -> None:
        """Twice as long as the last time where it had not closed since, 50 s at the most, and 5 % of jitter."""
        self.open_until = self.now + min(50.0, 20.0 * 2.0**self.opens_in_a_row) * 1.05
        self.opens_in_a_row += 1
        self.change(OPEN)

    def change(self, state: BreakerState) -> None:
        """Another era."""
        if state is CLOSED:
            self.opens_in_a_row = 0
        self.state = state
        self.era += 1
        self.ended = []


outcomes = st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL])
one_call = st.tuples(st.just("call"), st.sampled_from([0.0, 1.0, 4.0, 5.5]), outcomes)
wait = st.tuples(st.just("pass"), st.sampled_from([0.5, 1.0, 3.0, 10.0, 21.0, 60.0]))
step = st.one_of(
    one_call,
    one_call,
    one_call,
    wait,
    st.tuples(st.just("outage")),
    st.tuples(st.just("acquire")),
    st.tuples(st.just("end"), st.integers(0, 5), outcomes),
    st.tuples(st.just("end"), st.integers(0, 5), outcomes),
    st.integers(0, 20).map(lambda number: ("pass", 0.5) if number else ("reset",)),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(step, min_size=10, max_size=50), st.sampled_from([2, 3, 1000]), st.sampled_from([4, 5, 1000]))
def test_it_does_what_the_model_does(steps: list[tuple[object, ...]], threshold: int, min_calls: int) -> None:
    """Whatever calls come, in whichever order they end: state, refusals and counts are the model's."""
    model = Model(threshold, min_calls)
    options = replace(OPTIONS, failure_threshold=threshold, min_calls=min_calls)
    breaker = CircuitBreaker("storage", options, clock=lambda: model.now, jitter=lambda: JITTER)
    permits: list[Permit] = []

    def acquire() -> bool:
        if (expected := model.refusal()) is not None:
            with pytest.raises(CallRefused) as refused:
                breaker.acquire()
            assert refused.value.retry_after == expected
            return False
        permits.append(breaker.acquire())
        model.acquire()
        return True

    def call(seconds: float, outcome: Outcome) -> None:
        if acquire():
            model.now += seconds
            permits[-1].end(outcome)
            model.end(model.calls[-1], outcome)

    for kind, *rest in steps:
        match kind, rest:
            case "acquire", []:
                acquire()
            case "end", [int(back), Outcome() as outcome] if permits:
                index = max(0, len(permits) - 1 - back)
                permits[index].end(outcome)
                model.end(model.calls[index], outcome)
            case "call", [float(seconds), Outcome() as outcome]:
                call(seconds, outcome)
            case "outage", []:
                for _ in range(5):
                    call(0.0, Outcome.FAILURE)
                model.now += 60.0
            case "pass", [float(seconds)]:
                model.now += seconds
            case "reset", []:
                breaker.reset()
                model.change(CLOSED)
        assert breaker.snapshot().state is model.state
        assert breaker.refusal() == model.refusal()
        if model.state is CLOSED:
            window, shot = model.window(), breaker.snapshot()
            assert (shot.window_calls, shot.window_failures, shot.window_slow) == (
                len(window),
                sum(outcome is Outcome.FAILURE for outcome, _ in window),
                sum(slow for _, slow in window),
            )
