"""The client's circuit breaker, one for its target: while nobody answers there, nothing more is sent but a probe.

          `failures` in a row                    its time is over (see `_pause`)
    CLOSED ─────────────────> OPEN ────────────────────────────────────────────> HALF_OPEN
      ^                        ^ nobody answered the probe                           │
      │                        └─────────────────────────────────────────────────────┤
      └──────────────────────────────────────────────── the probe was answered ──────┘

What counts is whether anybody answers: a status that LedgerLift made (it carries an ErrorInfo) closes the breaker,
even `Overloaded`, for what follows such an answer is the server's to say.

Failures in a row are counted by cause and not by call: of twenty calls on one connection that breaks, one counts,
because the others had begun before it was seen. For a caller who makes one call after another that is every call.

Does no I/O; clock and randomness are handed in. A lock is held for the few lines that change state, never during a
call.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

import grpc

from ledgerlift_client.errors import CircuitOpen, LedgerLiftError

CLIENT_CIRCUIT_OPEN = "CLIENT_CIRCUIT_OPEN"
"""`reason` of what this breaker refuses; the server's own breakers answer CIRCUIT_OPEN."""
POLL = 0.2
"""Seconds between two looks at a breaker that is expected to let calls through soon."""
JITTER = 0.2
"""An OPEN breaker waits up to this part of its time longer, so that clients do not probe in step."""
GRACE_RECOVERY = 0.25
"""Seconds that it stays OPEN while the outage is younger than `grace`: most outages are restarts."""
OLDER_SHARE = 0.1
"""Of an older outage's age, that it stays OPEN at a time, so that its end is never found out much later."""
PROBE_PATIENCE = 2.0
"""Seconds that calls wait for a probe that is out behind the grace, before they are refused as by an OPEN breaker."""

_NOBODY = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
}


class CircuitState(StrEnum):
    """Where a client's breaker stands."""

    CLOSED = "CLOSED"
    """Calls go through."""
    OPEN = "OPEN"
    """Calls are refused on this side."""
    HALF_OPEN = "HALF_OPEN"
    """One call goes through at a time, to find out."""


class Outcome(Enum):
    """What a call says about its target."""

    ANSWERED = auto()
    NOBODY = auto()
    NOTHING = auto()
    """It was given up on this side, or too soon to tell."""


@dataclass(frozen=True, slots=True)
class CircuitBreakerStatus:
    """A client's breaker. Times in seconds.

    `failures_in_a_row` as the breaker counts them. `retry_after`: until the next call is let through, None unless
    OPEN. `opened` and `refused` count since the client was made. `last_failure` is its sentence, empty for none.
    """

    target: str
    state: CircuitState
    failures_in_a_row: int
    retry_after: float | None
    opened: int
    refused: int
    last_failure: str


def outcome_of(error: LedgerLiftError, *, gave_time: bool = True) -> Outcome:
    """What a failed call says. `gave_time`: it had as long as such a call is usually given."""
    if error.reason:
        return Outcome.ANSWERED
    if error.code is grpc.StatusCode.DEADLINE_EXCEEDED and not gave_time:
        return Outcome.NOTHING
    if error.code in _NOBODY:
        return Outcome.NOBODY
    # Without a reason RESOURCE_EXHAUSTED is a message that grpc itself found too large, on either side.
    unsaid = error.code is None or error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    return Outcome.NOTHING if unsaid else Outcome.ANSWERED


class Permit:
    """Leave to make one call; to be ended whatever becomes of it. Only its first end counts."""

    __slots__ = ("_breaker", "_ended", "began", "cause", "probe")

    def __init__(self, breaker: CircuitBreaker, cause: int, began: float, *, probe: bool) -> None:
        """Made by `admit`. `cause`: the failures that had been counted when the call began."""
        self._breaker = breaker
        self._ended = False
        self.cause = cause
        self.began = began
        self.probe = probe

    def end(self, outcome: Outcome, why: str = "") -> None:
        """The call has ended, or it has been answered for the first time. `why` is the failure's sentence."""
        if not self._ended:
            self._ended = True
            self._breaker.ended(self, outcome, why)


class CircuitBreaker:
    """The breaker of one target. Thread-safe."""

    def __init__(
        self,
        target: str,
        *,
        failures: int,
        recovery: float,
        grace: float,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """OPEN after `failures` in a row, for `recovery` seconds at the most, and up to a fifth more.

        `grace`: for so many seconds after the first of the failures it probes four times a second and calls wait for
        it; from then on calls are refused, and the pauses between probes grow with the outage. Both only where
        somebody has answered before: a wrong target is told at once.
        """
        self.target = target
        self._failures = failures
        self._recovery = recovery
        self._grace = grace
        self._clock = clock
        self._uniform = uniform
        self._lock = threading.Lock()
        self._state = CircuitState.CLOSED
        self._causes = 0
        self._in_a_row = 0
        self._since = 0.0
        self._ever_answered = False
        self._probe_at = 0.0
        self._probe: Permit | None = None
        self._opened = self._refused = 0
        self._last_failure = ""

    def admit(self) -> Permit:
        """Leave to make a call now. Raises CircuitOpen, with `retry_after`."""
        with self._lock:
            now = self._clock()
            wait = self._wait(now)
            if wait is not None:
                self._refused += 1
                raise self._refusal(wait)
            permit = Permit(self, self._causes, now, probe=self._state is not CircuitState.CLOSED)
            if permit.probe:
                self._state = CircuitState.HALF_OPEN
                self._probe = permit
            return permit

    def probing(self, permit: Permit) -> bool:
        """Whether a call is this breaker's own way to find out, in an outage that calls wait for."""
        with self._lock:
            return permit.probe and self._in_grace(self._clock())

    def worth_waiting(self) -> bool:
        """Whether a call that was just refused should look again in `POLL` seconds rather than fail."""
        with self._lock:
            now = self._clock()
            if self._state is CircuitState.OPEN or self._in_grace(now):
                return self._in_grace(now)
            return self._probe is None or now - self._probe.began < PROBE_PATIENCE

    def status(self) -> CircuitBreakerStatus:
        """How it stands. An OPEN breaker whose time is over stays OPEN, with 0 s to wait, until a call comes."""
        with self._lock:
            is_open = self._state is CircuitState.OPEN
            return CircuitBreakerStatus(
                target=self.target,
                state=self._state,
                failures_in_a_row=self._in_a_row,
                retry_after=max(0.0, self._probe_at - self._clock()) if is_open else None,
                opened=self._opened,
                refused=self._refused,
                last_failure=self._last_failure,
            )

    def ended(self, permit: Permit, outcome: Outcome, why: str) -> None:
        """See `Permit.end`."""
        with self._lock:
            mine = permit is self._probe
            if mine:
                self._probe = None
            match outcome:
                case Outcome.ANSWERED:
                    self._ever_answered = True
                    self._in_a_row = 0
                    self._state = CircuitState.CLOSED
                    self._probe = None
                case Outcome.NOBODY:
                    self._nobody(permit, why, probed=mine)
                case Outcome.NOTHING:
                    pass  # a probe that says nothing makes room for another

    # With the lock held.

    def _nobody(self, permit: Permit, why: str, *, probed: bool) -> None:
        if permit.cause != self._causes and not probed:
            return  # it had begun before the last failure was known, and says nothing new
        now = self._clock()
        if not self._in_a_row:
            self._since = now
        self._causes += 1
        self._in_a_row += 1
        self._last_failure = why
        if probed or (self._state is CircuitState.CLOSED and self._in_a_row >= self._failures):
            self._opened += self._state is CircuitState.CLOSED
            self._state = CircuitState.OPEN
            self._probe_at = now + self._pause(now) * (1 + self._uniform(0.0, JITTER))

    def _pause(self, now: float) -> float:
        """Seconds until the next probe, but for the jitter."""
        if not self._ever_answered:
            return self._recovery
        pause = GRACE_RECOVERY if self._in_grace(now) else (now - self._since) * OLDER_SHARE
        return min(max(pause, GRACE_RECOVERY), self._recovery)

    def _in_grace(self, now: float) -> bool:
        return self._ever_answered and now - self._since < self._grace

    def _wait(self, now: float) -> float | None:
        match self._state:
            case CircuitState.OPEN if now < self._probe_at:
                return self._probe_at - now
            # A probe may be a call that lasts; another is let through when this one has had its time.
            case CircuitState.HALF_OPEN if self._probe is not None:
                left = self._probe.began + self._recovery - now
                return min(POLL, left) if left > 0 else None
        return None

    def _refusal(self, wait: float) -> CircuitOpen:
        return CircuitOpen(
            f"nobody answers at {self.target}: {self._in_a_row} calls in a row failed, the last with: "
            f"{self._last_failure}",
            reason=CLIENT_CIRCUIT_OPEN,
            metadata={"target": self.target},
            retryable=True,
            retry_after=wait,
            attempts=0,
        )
