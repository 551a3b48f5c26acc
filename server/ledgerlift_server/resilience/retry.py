"""When a failed attempt is made again: how often, how long, after which pause, and out of which budget.

Nothing here sleeps or calls. `Attempts` says how long to wait, or that it was enough; its user waits as it can,
with `time.sleep` on a thread or `asyncio.sleep` on the loop:

    attempts = Attempts(policy, budget)
    while True:
        try:
            result = once()
        except WorthIt:
            if (pause := attempts.again()) is None:
                raise
            sleep(pause)
        else:
            attempts.succeeded()
            return result

What is worth it is for the user to know: only what certainly did not happen, or may happen twice.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ledgerlift_server.resilience.deadline import Clock, current_deadline


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the attempts of one call. Times are in seconds."""

    first_pause: float
    """Longest pause behind the first attempt; it doubles with each further one."""
    longest_pause: float
    """No pause is longer."""
    max_attempts: int
    """The first one counts."""
    patience: float
    """No attempt begins later than this after the `Attempts` were made."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if self.patience < 0 or not 0 <= self.first_pause <= self.longest_pause:
            raise ValueError("patience and pauses must not be negative, nor the first pause the longest")

    def pause(self, attempt: int, jitter: float) -> float:
        """Seconds behind attempt number `attempt` (the first is 1); `jitter` is in [0, 1).

        Full jitter: between nothing and the ceiling, so that those who failed together do not come back together
        (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
        """
        doublings = min(attempt - 1, 60)  # a float does not hold 2 ** 1024
        return min(self.longest_pause, self.first_pause * 2.0**doublings) * jitter


class RetryBudget:
    """Tokens that all calls to one dependency share: a further attempt costs one, a success brings back a part.

    When everything fails it is soon empty, and then a call is one attempt: retries do not multiply the load on what
    is down. Thread-safe.
    """

    def __init__(self, tokens: float, refill: float) -> None:
        """It begins full, with `tokens`; `refill` is what a success brings back."""
        self._capacity = tokens
        self._refill = refill
        self._tokens = tokens
        self._lock = threading.Lock()
        self.taken = 0
        """Attempts paid for since the process began."""
        self.denied = 0
        """Those that there was not enough left for."""

    @property
    def tokens(self) -> float:
        """What is left."""
        return self._tokens

    def take(self) -> bool:
        """Pay for one more attempt. False: there is not enough left, and nothing was taken."""
        with self._lock:
            if self._tokens < 1.0:
                self.denied += 1
                return False
            self._tokens -= 1.0
            self.taken += 1
            return True

    def succeeded(self) -> None:
        """A call succeeded."""
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + self._refill)


class Attempts:
    """The attempts of one call. Made with the first one, or when it has failed if its own time is not to count."""

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget | None = None,
        *,
        clock: Clock = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Without a `budget` only the policy and the deadline bound it."""
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._jitter = jitter
        self._give_up_at = clock() + policy.patience
        self.made = 1
        """Attempts so far, the one at hand included."""

    def again(self, *, at_least: float = 0.0) -> float | None:
        """The attempt at hand failed: seconds to wait before the next one, None when there shall be none.

        `at_least` is what whoever refused has asked for. The last pause is cut to end with the patience; one that
        would outlive the current deadline is not begun, so that the caller hears of the failure while it listens.
        """
        left = self._give_up_at - self._clock()
        if self.made >= self._policy.max_attempts or left <= 0 or left < at_least:
            return None
        pause = min(at_least + self._policy.pause(self.made, self._jitter()), left)
        deadline = current_deadline()
        if deadline is not None and pause >= deadline.remaining():
            return None
        if self._budget is not None and not self._budget.take():
            return None
        self.made += 1
        return pause

    def succeeded(self) -> None:
        """The attempt at hand held."""
        if self._budget is not None:
            self._budget.succeeded()
