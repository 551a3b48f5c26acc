"""The one door to whatever blocks: the database's driver and the store's client.

    call = circuit breaker ─> bulkhead (bounded threads, queue under the deadline) ─> thread ─> outcome
                                                                             to breaker and statistics

No other code talks to a driver. What is tried again is tried again inside of `fn`: one call is one outcome, a failure
only when its own attempts are used up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ledgerlift_server.domain.store_port import StoreAnswer
from ledgerlift_server.errors import (
    CircuitOpen,
    DeadlineExceeded,
    DependencyUnavailable,
    LedgerLiftError,
    Overloaded,
)
from ledgerlift_server.resilience.breaker import CallRefused, CircuitBreaker, Outcome, Permit
from ledgerlift_server.resilience.bulkhead import Bulkhead, BulkheadFull
from ledgerlift_server.resilience.call_statistics import CallStatistics
from ledgerlift_server.resilience.deadline import Clock, DeadlinePassed

T = TypeVar("T")

SLOWEST_TRANSFER = 256 * 1024
"""Bytes per second. The time that a call's bytes take at this rate is not held against the dependency: with many
parts on their way a working link gives each of them little, and to close it would help nobody."""


class Dependency:
    """A component behind its breaker and its bulkhead. `name` is `database` or `storage`."""

    def __init__(
        self,
        name: str,
        bulkhead: Bulkhead,
        breaker: CircuitBreaker,
        *,
        own_timeout: float = 5.0,
        clock: Clock = time.monotonic,
    ) -> None:
        """Bulkhead and breaker are this dependency's own.

        `own_timeout` in seconds: a call that has waited so long for an answer when its caller's deadline comes is a
        failure of the dependency, and not of a caller in a hurry.
        """
        self.name = name
        self.breaker = breaker
        self.statistics = CallStatistics()
        self.bulkhead = bulkhead
        self._own_timeout = own_timeout
        self._clock = clock

    async def call(
        self, operation: str, fn: Callable[..., T], /, *args: object, lent: bool = False, size: int = 0
    ) -> T:
        """The result of `fn(*args)`, run on a thread; `fn` translates its driver's exceptions.

        `operation` names it in the statistics; `size` is how many bytes it carries. `lent`: `fn` borrows memory from
        the caller, see `Bulkhead.run`. Raises CircuitOpen at once while the breaker is open, Overloaded when no
        thread came free, DeadlineExceeded when the deadline came first (the outcome is unknown then).
        """
        try:
            turn = _Turn(self.breaker, self._clock)
            try:
                return await self._on_thread(partial(self._guarded, turn, operation, size, fn, args), lent)
            except DeadlineExceeded:
                # Its thread may hang for good, as on a disk that does not come back: what it says then is too late.
                if (seconds := turn.seconds()) is not None and self._over_time(seconds, size):
                    turn.end(Outcome.FAILURE, seconds)
                raise
            finally:
                turn.leave()
        except CallRefused as refused:
            raise CircuitOpen.of(self.name, retry_after=refused.retry_after) from None

    async def check(self, operation: str, fn: Callable[..., T], /, *args: object, size: int = 0) -> T:
        """As `call`, whatever the breaker says, and without telling it: for the start, which insists."""
        return await self._on_thread(partial(self._timed, operation, size, fn, args, _nobody), lent=False)

    async def _on_thread(self, work: Callable[[], T], lent: bool) -> T:
        try:
            return await self.bulkhead.run(work, lent=lent)
        except BulkheadFull:
            full = Overloaded(f"the {self.name} has no connection free", retry_after=1.0)
            full.rerun = True  # nothing was begun
            raise full from None
        except DeadlinePassed:
            raise DeadlineExceeded(f"the {self.name} did not answer before the deadline") from None

    # On the thread.

    def _guarded(self, turn: _Turn, operation: str, size: int, fn: Callable[..., T], args: tuple[object, ...]) -> T:
        turn.begin()
        return self._timed(operation, size, fn, args, turn.end)

    def _timed(
        self,
        operation: str,
        size: int,
        fn: Callable[..., T],
        args: tuple[object, ...],
        tell: Callable[[Outcome, float], None],
    ) -> T:
        began, outcome, carried = self._clock(), Outcome.NEUTRAL, 0
        try:
            result = fn(*args)
            outcome, carried = Outcome.SUCCESS, len(result) if isinstance(result, bytes) else size
            return result
        except Exception as error:
            outcome = self._outcome(error, self._clock() - began, size)
            raise
        finally:
            seconds = self._clock() - began
            self.statistics.record(operation, seconds, failed=outcome is not Outcome.SUCCESS, size=carried)
            tell(outcome, seconds - size / SLOWEST_TRANSFER)

    def _outcome(self, error: Exception, seconds: float, size: int) -> Outcome:
        match error:
            case DependencyUnavailable():
                return Outcome.SUCCESS if error.answered else Outcome.FAILURE
            case DeadlineExceeded():
                return Outcome.FAILURE if self._over_time(seconds, size) else Outcome.NEUTRAL
            case Overloaded():
                return Outcome.NEUTRAL
            case LedgerLiftError() | StoreAnswer():
                return Outcome.SUCCESS
        return Outcome.NEUTRAL

    def _over_time(self, seconds: float, size: int) -> bool:
        return seconds - size / SLOWEST_TRANSFER >= self._own_timeout


def _nobody(_outcome: Outcome, _seconds: float) -> None:
    """Who is told of a call that the breaker has nothing to do with."""


class _Turn:
    """A breaker's permit on its way to the thread. Who takes it ends it: the thread, or a caller that left before."""

    def __init__(self, breaker: CircuitBreaker, clock: Clock) -> None:
        """Raises CallRefused."""
        self._breaker = breaker
        self._clock = clock
        self._permit: Permit = breaker.acquire()
        self._taken = threading.Lock()
        self._began: float | None = None

    def begin(self) -> None:
        """The thread is there. Raises CallRefused where the breaker has opened meanwhile, or nobody waits."""
        if not self._taken.acquire(blocking=False):
            raise CallRefused(self._breaker.name, 0.0)
        if not self._permit.current:
            self._permit.end(Outcome.NEUTRAL)
            self._permit = self._breaker.acquire()
        self._began = self._clock()

    def seconds(self) -> float | None:
        """How long the call has been on its thread; None before that."""
        return None if self._began is None else self._clock() - self._began

    def end(self, outcome: Outcome, seconds: float) -> None:
        """The call has ended, or it is known what will be said of it. The first one counts."""
        self._permit.end(outcome, seconds=seconds)

    def leave(self) -> None:
        """The caller goes. A call that has not begun never will."""
        if self._taken.acquire(blocking=False):
            self._permit.end(Outcome.NEUTRAL)
