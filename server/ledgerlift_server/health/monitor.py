"""Looks after the dependencies and the machine in the background, so that nobody who asks waits for them.

    every HEALTH_CACHE_TTL, at once after a breaker has changed its state, soon while something is unclear
        database, storage   a ping through the dependency's own door, under a short deadline of its own
        system              psutil
    seldom                  how many documents there are

The pings pass the breakers like any other call: on a server to which readiness sends nobody any more, they are the
probes that let a breaker close.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from ledgerlift_server.domain.models import Count
from ledgerlift_server.errors import CircuitOpen, LedgerLiftError, Overloaded
from ledgerlift_server.health.board import SYSTEM, HealthBoard
from ledgerlift_server.health.component import Component
from ledgerlift_server.health.resources import SystemResources, Thresholds
from ledgerlift_server.resilience.breaker import BreakerEvent, BreakerState, CircuitBreaker
from ledgerlift_server.resilience.bulkhead import BulkheadFull
from ledgerlift_server.resilience.deadline import Clock, Deadline, DeadlinePassed, deadline_scope

logger = logging.getLogger(__name__)

DEFECT = "the check itself failed; the log says how"


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """Times are in seconds."""

    interval: float = 30.0
    """Between two looks at what is well."""
    check_timeout: float = 3.0
    """For one ping, retries included."""
    thresholds: Thresholds = Thresholds()
    count_interval: float = 300.0
    """Between two counts of all documents, at the least; it is a look at every stored object's row."""
    count_share: float = 0.01
    """Largest share of the time that is spent on counting."""
    count_timeout: float = 10.0
    """For one count."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A dependency to look after. `ping` raises LedgerLiftError, and keeps the current deadline."""

    component: Component
    ping: Callable[[], Awaitable[object]]
    breaker: CircuitBreaker


class Monitor:
    """What was last found out. Belongs to the event loop that it is made in."""

    def __init__(
        self,
        board: HealthBoard,
        watched: Sequence[Watched],
        measure: Callable[[], Awaitable[SystemResources]],
        count: Callable[[], Awaitable[Count]],
        options: MonitorOptions,
        *,
        clock: Clock = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`measure` and `count` keep the current deadline; `board` is told everything."""
        self._board = board
        self._watched = watched
        self._measure = measure
        self._count = count
        self._options = options
        self._clock = clock
        self._now = now
        self._news = {one.component.name: asyncio.Event() for one in watched}
        loop = asyncio.get_running_loop()

        def on_change(event: BreakerEvent) -> None:
            with suppress(RuntimeError):  # a thread may outlive the loop
                loop.call_soon_threadsafe(self._news[event.name].set)

        for one in watched:
            one.breaker.subscribe(on_change)
        self.check_time = now()
        """When anything was last looked at."""
        self.resources: SystemResources | None = None
        """The last measurement; None where the last attempt failed."""
        self.issues: tuple[str, ...] = ()
        """Of the machine."""
        self.totals = Count(0, 0)
        """Documents of all owners, as last counted."""

    async def refresh(self) -> None:
        """Look at everything but the number of documents, now. Takes `check_timeout` at the most."""
        await asyncio.gather(self._look_at_machine(), *map(self._look_at, self._watched))

    async def run(self) -> None:
        """Look again whenever it is time. Never returns."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._watched:
                tasks.create_task(self._look_after(one))
            tasks.create_task(self._look_after_machine())
            tasks.create_task(self._keep_counting())

    async def _look_after(self, one: Watched) -> None:
        news = self._news[one.component.name]
        while True:
            probing = one.breaker.snapshot().state is not BreakerState.CLOSED
            with suppress(TimeoutError):
                async with asyncio.timeout(one.component.pause(self._options.interval, probing=probing)):
                    await news.wait()
            news.clear()
            await self._look_at(one)

    async def _look_at(self, one: Watched) -> None:
        component, began = one.component, self._clock()
        before, first = component.reachable, component.health.check_time is None
        message, asked, certain = "", True, False
        try:
            with deadline_scope(Deadline.after(self._options.check_timeout), detached=True):
                await one.ping()
        except CircuitOpen as error:
            message = error.message
            # A half-open breaker refuses while others probe, which says nothing yet.
            asked = certain = one.breaker.snapshot().state is BreakerState.OPEN
        except LedgerLiftError as error:
            message = error.message
            asked = not isinstance(error, Overloaded)  # no thread came free: ours, not the dependency's fault
        except Exception:
            logger.exception("health_check_broken", extra={"component": component.name})
            message = DEFECT
        seconds, self.check_time = self._clock() - began, self._now()
        if not message:
            component.answered(seconds, self.check_time)
        elif asked:
            component.failed(message, seconds, self.check_time, certain=certain)
        else:
            component.not_asked(message, seconds, self.check_time)
        self._board.report(component.name, component.reachable)
        if component.reachable is not before and not first:
            level = logging.INFO if component.reachable else logging.ERROR
            event = "dependency_reachable" if component.reachable else "dependency_unreachable"
            logger.log(level, event, extra={"dependency": component.name, "cause": message})

    async def _look_after_machine(self) -> None:
        while True:
            await asyncio.sleep(self._options.interval)
            await self._look_at_machine()

    async def _look_at_machine(self) -> None:
        before = self.issues
        try:
            with deadline_scope(Deadline.after(self._options.check_timeout), detached=True):
                self.resources = await self._measure()
            self.issues = self._options.thresholds.issues(self.resources)
        except (OSError, BulkheadFull, DeadlinePassed) as error:
            self.resources, self.issues = None, ()
            logger.warning("machine_not_measured", extra={"cause": repr(error)})
        self.check_time = self._now()
        self._board.report(SYSTEM, self.resources is not None and not self.issues)
        if self.issues != before:
            logger.warning("machine_issues", extra={"issues": list(self.issues), "before": list(before)})

    async def _keep_counting(self) -> None:
        while True:
            began = self._clock()
            try:
                with deadline_scope(Deadline.after(self._options.count_timeout), detached=True):
                    self.totals = await self._count()
            except LedgerLiftError as error:
                logger.warning("documents_not_counted", extra={"cause": error.message})
            spent = self._clock() - began
            await asyncio.sleep(max(self._options.count_interval, spent / self._options.count_share))
