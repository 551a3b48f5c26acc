"""When to try again, and after how long. Does no I/O: clock and randomness are handed in, nobody sleeps here.

Full jitter: a wait is drawn between 0 and a bound that doubles with every failure in a row
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). What the server asks for
(RetryInfo, `grpc-retry-pushback-ms`) is waited for first; the jitter comes on top, so that the many
clients that were told the same do not come back at the same moment.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from ledgerlift_client._breaker import CLIENT_CIRCUIT_OPEN, POLL
from ledgerlift_client._budget import RetryBudget
from ledgerlift_client.errors import CircuitOpen, LedgerLiftError, NotConnected, TlsFailed

UNSENT_IN_A_ROW = 3
"""The wait behind calls that never left grows up to this many of them, to 1 s with the usual base: a second after a
failed health check grpc looks again."""

Clock = Callable[[], float]
"""Monotonic seconds."""
Uniform = Callable[[float, float], float]
"""A random number between two others, like `random.uniform`."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The bound of a wait: `base` seconds, doubled with every further failure in a row, at most `cap`."""

    base: float
    cap: float

    def delay(self, failures: int, uniform: Uniform) -> float:
        """Seconds to wait after the `failures`-th failure in a row."""
        bound = min(self.cap, self.base * 2.0 ** min(failures - 1, 60))
        return uniform(0.0, bound)


class RetryState:
    """The failures of one operation. It ends by its deadline, by too many failures in a row, or for want of progress.

    `attempts` counts the calls that it took so far: 1, and one more for every failure.

    Until it has begun, each retry takes from `budget`, which all operations share. Once it has, it is bounded by its
    progress: to break a transfer off because others fail would cost more than it saves.
    """

    def __init__(
        self,
        backoff: Backoff,
        *,
        deadline: float | None = None,
        max_attempts: int | None = None,
        patience: float | None = None,
        budget: RetryBudget | None = None,
        answered_before: bool = False,
        clock: Clock = time.monotonic,
        uniform: Uniform = random.uniform,
    ) -> None:
        """`deadline` is a point on `clock`; `patience` the seconds allowed without `progressed`.

        `answered_before`: the target is known to be right. A call that never left is then no attempt: while grpc
        waits by itself before it connects, or asks for the health, again, it fails calls at once, and would use up
        all of them. The deadline bounds these, and the breaker, which counts them.
        """
        self.attempts = 1
        self._budget = budget
        self._begun = False
        self._last: LedgerLiftError | None = None
        self._backoff = backoff
        self._deadline = deadline
        self._max_attempts = max_attempts
        self._patience = patience
        self._clock = clock
        self._uniform = uniform
        self._answered_before = answered_before
        self._in_a_row = 0
        self._unsent = 0
        self._probe = False
        self._moved_at = clock()

    def now(self) -> float:
        """The time on this operation's clock."""
        return self._clock()

    def time_left(self, limit: float) -> float:
        """Seconds that a step may take which by itself is allowed `limit`."""
        return limit if self._deadline is None else max(0.0, min(limit, self._deadline - self._clock()))

    def begins(self, *, probe: bool) -> None:
        """A call is made. `probe`: for all who wait for the breaker, which decides how often, and no attempt of its
        own: a call that happens to find out shall not give up sooner than those that wait for what it finds."""
        self._probe = probe

    def after(self, error: LedgerLiftError) -> float:
        """Seconds to wait before the next attempt. Raises `error` when there shall be none."""
        if error.reason == CLIENT_CIRCUIT_OPEN:
            raise error  # `refused` has waited for as long as that is worth it
        self._last = error
        error.attempts = self.attempts
        if isinstance(error, TlsFailed) and not self._answered_before:
            raise error
        unsent = self._probe or (self._answered_before and isinstance(error, NotConnected))
        if unsent:
            self._unsent = min(self._unsent + 1, UNSENT_IN_A_ROW)
            delay = self._backoff.delay(self._unsent, self._uniform)
        else:
            self._in_a_row += 1
            self._unsent = 0
            if self._max_attempts is not None and self._in_a_row >= self._max_attempts:
                raise error
            delay = (error.retry_after or 0.0) + self._backoff.delay(self._in_a_row, self._uniform)
        if self._clock() + delay >= self._end():
            raise error
        if not unsent and self._budget is not None and not self._begun and not self._budget.take():
            raise error
        self.attempts += 1
        return delay

    def refused(self, refusal: CircuitOpen, *, soon: bool) -> float:
        """Seconds until the client's breaker is to be asked again; no call was made. Raises where there is no point.

        What is raised is the failure that this operation saw itself, if any, and otherwise `refusal`. `soon`: the
        breaker is expected to let calls through. An operation that has begun waits for it in any case.
        """
        wait = min(POLL, refusal.retry_after or POLL)
        if (soon or self._waits) and self._clock() + wait < self._end():
            return self._uniform(wait / 2, wait)
        if self._last is not None:
            self._last.attempts = self.attempts = self.attempts - 1
            raise self._last
        raise refusal

    def pause(self, seconds: float, error: LedgerLiftError) -> float:
        """`seconds`, for a wait that is nobody's failure. Raises `error` when there is no time for it."""
        if self._clock() + seconds >= self._end():
            error.attempts = self.attempts
            raise error
        return seconds

    def begun(self) -> None:
        """The other side has answered: from here on patience counts, not the number of attempts."""
        if self._patience is not None:
            self._max_attempts = None
        if not self._begun and self._budget is not None:
            self._budget.succeeded(retried=self.attempts > 1)
        self._begun = True

    def progressed(self) -> None:
        """Something moved: the failures before it do not count any more."""
        self._in_a_row = 0
        self._moved_at = self._clock()

    @property
    def _waits(self) -> bool:
        """True for a transfer of a client whose target is known to be right."""
        return self._patience is not None and self._max_attempts is None

    def _end(self) -> float:
        ends = [self._deadline] if self._deadline is not None else []
        if self._patience is not None:
            ends.append(self._moved_at + self._patience)
        return min(ends, default=float("inf"))
