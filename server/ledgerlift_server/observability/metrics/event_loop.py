"""How late the event loop is: everything that every caller waits for, whatever the call."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram

from ledgerlift_server.resilience.deadline import Clock

INTERVAL = 0.5
"""Seconds between two looks, on average."""
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets, in seconds."""


class EventLoopLag:
    """Asks the loop for a turn at a known time, and notes by how much later it comes."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        interval: float = INTERVAL,
        clock: Clock = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`interval` in seconds. `chance` is from 0 to 1."""
        self._interval = interval
        self._clock = clock
        self._chance = chance
        self._due = math.inf
        self._lag = Histogram(
            "ledgerlift_event_loop_lag_seconds",
            "By how much later than asked for the event loop gave a task its turn.",
            buckets=BOUNDS,
            registry=registry,
        )
        # A loop that hangs observes nothing. The scrape, which is on a thread of its own, still sees that it does.
        Gauge(
            "ledgerlift_event_loop_overdue_seconds",
            "For how long the turn that is due now has not come.",
            registry=registry,
        ).set_function(lambda: max(0.0, self._clock() - self._due))

    async def run(self) -> None:
        """Look until cancelled."""
        try:
            while True:
                # By chance: a look begins with a turn, and so does what holds the loop up. Half a second of that,
                # over and over, would end each time just when it is looked at: late for everybody, and never seen.
                pause = self._interval * (0.5 + self._chance())
                self._due = self._clock() + pause
                await asyncio.sleep(pause)
                self._lag.observe(max(0.0, self._clock() - self._due))
        finally:
            self._due = math.inf
