"""A circuit breaker: whoever calls a dependency that is down is told so at once, and a few probe whether it is back.

            failures in a row, or the rate of failures or of slow calls in the window
    CLOSED ──────────────────────────────────────────────────────────────────────────> OPEN
      ^                                                                                 │ ^
      │ as many probes answered                                   the next call after   │ │ a probe failed, or
      └───────────────────────────────── HALF_OPEN <── the recovery timeout is a probe ─┘ │ most were slow: longer
                                             └────────────────────────────────────────────┘

The states and rates are resilience4j's (https://resilience4j.readme.io/docs/circuitbreaker). A lock is held for the
few lines that change state, never during a call: a closed breaker does not make calls wait for one another.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from ledgerlift_server.resilience.breaker_models import BreakerEvent, BreakerSnapshot, BreakerState, Outcome
from ledgerlift_server.resilience.breaker_options import BreakerOptions
from ledgerlift_server.resilience.deadline import Clock
from ledgerlift_server.resilience.sliding_window import SlidingWindow

__all__ = [
    "BreakerEvent",
    "BreakerOptions",
    "BreakerSnapshot",
    "BreakerState",
    "CallRefused",
    "CircuitBreaker",
    "Outcome",
    "Permit",
]

logger = logging.getLogger(__name__)

PROBES_BUSY = 1.0
"""Seconds after which to come again when all probes are out: the first of them will have answered, or not soon."""


class CallRefused(Exception):
    """The breaker lets no call through. Nothing was begun."""

    def __init__(self, name: str, retry_after: float) -> None:
        """`retry_after` is when to come again, in seconds."""
        super().__init__(f"the breaker of {name} is open")
        self.retry_after = retry_after


class Permit:
    """Leave to make one call. To be ended, whatever becomes of the call; on any thread."""

    __slots__ = ("_breaker", "began", "ended", "expires", "generation")

    def __init__(self, breaker: CircuitBreaker, generation: int, began: float, expires: float) -> None:
        """Made by `acquire`. `expires` is never unless this is a probe's."""
        self._breaker = breaker
        self.generation = generation
        self.began = began
        self.expires = expires
        self.ended = False

    @property
    def current(self) -> bool:
        """False where its end would not count: it has ended, has expired, or is older than the breaker's state."""
        return self._breaker.counts(self)

    def end(self, outcome: Outcome, *, seconds: float | None = None) -> None:
        """The call has ended. Only the first end counts, and only while the permit is `current`.

        `seconds` is what the dependency took of it; None: all the time since `acquire`.
        """
        self._breaker.end(self, outcome, seconds)


class CircuitBreaker:
    """The breaker of one dependency. Thread-safe."""

    def __init__(
        self,
        name: str,
        options: BreakerOptions | None = None,
        *,
        clock: Clock = time.monotonic,
        jitter: Callable[[], float] = random.random,
        on_change: Callable[[BreakerEvent], None] | None = None,
    ) -> None:
        """It is CLOSED. `jitter` is in [0, 1); `on_change` as in `subscribe`."""
        self.name = name
        self._options = options or BreakerOptions()
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._generation = 0
        self._window = SlidingWindow(self._options.window)
        self._consecutive = 0
        self._probes: list[Permit] = []
        """Those that are out."""
        self._answers = self._slow_answers = 0
        """Of the probes."""
        self._reopened = 0
        """Times in a row that the probes failed."""
        self._probe_at = 0.0
        """When OPEN ends."""
        self._refused = self._opened = 0
        self._listeners: list[Callable[[BreakerEvent], None]] = [] if on_change is None else [on_change]
        self._untold: deque[BreakerEvent] = deque()
        self._telling = False

    def acquire(self) -> Permit:
        """Leave to make a call now. Raises CallRefused."""
        with self._lock:
            now = self._clock()
            wait = self._wait(now)
            if wait is not None:
                self._refused += 1
                raise CallRefused(self.name, wait)
            if self._state is BreakerState.OPEN:
                self._enter(BreakerState.HALF_OPEN, now)
            probing = self._state is BreakerState.HALF_OPEN
            permit = Permit(self, self._generation, now, now + self._options.probe_timeout if probing else math.inf)
            if probing:
                self._probes = [probe for probe in self._probes if probe.expires > now] + [permit]
        self._tell()
        return permit

    def refusal(self, *, counting: bool = False) -> float | None:
        """When to come again, in seconds, if `acquire` would refuse at this moment; otherwise None.

        Takes nothing. `counting`: a call is turned away by the answer, and `refused_count` is to say so.
        """
        with self._lock:
            wait = self._wait(self._clock())
            self._refused += counting and wait is not None
            return wait

    def snapshot(self) -> BreakerSnapshot:
        """How it stands. An OPEN breaker whose time is over stays OPEN, with 0 s to wait, until a call probes."""
        with self._lock:
            now = self._clock()
            window = self._window.total(now)
            return BreakerSnapshot(
                self.name,
                self._state,
                self._consecutive,
                window.calls,
                window.failed,
                window.slow,
                self._refused,
                self._opened,
                max(0.0, self._probe_at - now) if self._state is BreakerState.OPEN else None,
            )

    def reset(self) -> None:
        """Close it, and forget what led here. Calls that are under way no longer count."""
        with self._lock:
            self._enter(BreakerState.CLOSED, self._clock())
        self._tell()

    def subscribe(self, callback: Callable[[BreakerEvent], None]) -> None:
        """Tell `callback` each change of state, in order, on the thread that made it or one that is telling already.

        It is called outside of the lock, and should be short: a call's answer waits for it.
        """
        with self._lock:
            self._listeners.append(callback)

    # What permits call.

    def counts(self, permit: Permit) -> bool:
        """See `Permit.current`."""
        with self._lock:
            return self._counts(permit, self._clock())

    def end(self, permit: Permit, outcome: Outcome, seconds: float | None) -> None:
        """See `Permit.end`."""
        with self._lock:
            now = self._clock()
            counts = self._counts(permit, now)
            permit.ended = True
            if counts:
                slow = (now - permit.began if seconds is None else seconds) >= self._options.slow_call
                if self._state is BreakerState.CLOSED:
                    self._call_ended(outcome, slow, now)
                else:
                    self._probes.remove(permit)
                    self._probe_ended(outcome, slow, now)
        self._tell()

    # With the lock held.

    def _wait(self, now: float) -> float | None:
        match self._state:
            case BreakerState.OPEN if now < self._probe_at:
                return self._probe_at - now
            case BreakerState.HALF_OPEN:
                out = [probe.expires for probe in self._probes if probe.expires > now]
                if len(out) >= self._options.probes:
                    return min(PROBES_BUSY, min(out) - now)
        return None

    def _counts(self, permit: Permit, now: float) -> bool:
        return not permit.ended and permit.generation == self._generation and now < permit.expires

    def _call_ended(self, outcome: Outcome, slow: bool, now: float) -> None:
        options = self._options
        if outcome is Outcome.SUCCESS:
            self._consecutive = 0
        elif outcome is Outcome.FAILURE:
            self._consecutive += 1
        elif not slow:
            return
        self._window.add(now, failed=outcome is Outcome.FAILURE, slow=slow)
        window = self._window.total(now)
        if self._consecutive >= options.failure_threshold or (
            window.calls >= options.min_calls
            and (
                window.failed >= options.failure_rate * window.calls
                or window.slow >= options.slow_rate * window.calls
            )
        ):
            self._open(now)

    def _probe_ended(self, outcome: Outcome, slow: bool, now: float) -> None:
        if outcome is Outcome.NEUTRAL:
            return
        self._answers += 1
        self._slow_answers += slow
        too_slow = self._slow_answers >= self._options.slow_rate * self._options.probes
        if outcome is Outcome.FAILURE or too_slow:
            self._consecutive += outcome is Outcome.FAILURE
            self._reopened += 1
            self._open(now)
        elif self._answers >= self._options.probes:
            self._enter(BreakerState.CLOSED, now)

    def _open(self, now: float) -> None:
        self._opened += 1
        self._probe_at = now + self._options.open_for(self._reopened, self._jitter())
        self._enter(BreakerState.OPEN, now)

    def _enter(self, state: BreakerState, now: float) -> None:
        if state is BreakerState.CLOSED:
            self._consecutive = self._reopened = 0
            self._window.clear()
        self._generation += 1
        self._probes = []
        self._answers = self._slow_answers = 0
        if state is not self._state:
            self._untold.append(BreakerEvent(self.name, self._state, state, now))
        self._state = state

    # Without the lock.

    def _tell(self) -> None:
        """Tell what is untold, one thread at a time, so that nobody hears of OPEN after what followed it."""
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                event, listeners = self._untold.popleft(), tuple(self._listeners)
                self._telling = True
            for listener in listeners:
                try:
                    listener(event)
                except Exception:  # the call that changed the state has nothing to do with who listens
                    logger.exception("breaker_listener_failed", extra={"breaker": self.name})
            with self._lock:
                self._telling = False
