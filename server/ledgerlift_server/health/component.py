"""A dependency as its checks show it: what a check that failed means, and when to check again. No I/O.

One lost answer is no outage: readiness flips at the second failure in a row, and back at the first success. A breaker
that is open has seen enough: it counts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

FAILURES_THAT_COUNT = 2
"""In a row, after which a dependency counts as unreachable."""
SOON = 2.0
"""Seconds after which to look again while it is not clear how a dependency is: a database that restarts is back."""
UNREACHABLE_PAUSE = 5.0
"""Seconds between two checks of what is unreachable: how late its return may be noticed."""


class HealthStatus(StrEnum):
    """How well something is; the later the worse."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"


def worst(*statuses: HealthStatus) -> HealthStatus:
    """The worst of them; HEALTHY of none."""
    order = list(HealthStatus)
    return max(statuses, key=order.index, default=HealthStatus.HEALTHY)


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """What the last check found. `response_time` in seconds; `message` is empty when nothing is wrong."""

    status: HealthStatus
    response_time: float
    message: str
    check_time: datetime | None


class Component:
    """One dependency. Unreachable until a check has succeeded."""

    def __init__(self, name: str) -> None:
        """`name` is the issue's when it is not well."""
        self.name = name
        self.reachable = False
        self._failures = 0
        self._unclear = False
        self.health = ComponentHealth(HealthStatus.UNHEALTHY, 0.0, "not checked yet", None)

    def answered(self, seconds: float, at: datetime) -> None:
        """A check succeeded; it took `seconds`."""
        self.reachable = True
        self._failures = 0
        self._told(seconds, "", at)

    def failed(self, message: str, seconds: float, at: datetime, *, certain: bool = False) -> None:
        """A check failed. `certain`: it was the verdict of many calls, not of this one alone."""
        self._failures += 1
        if certain or self._failures >= FAILURES_THAT_COUNT:
            self.reachable = False
        self._told(seconds, message, at)

    def not_asked(self, message: str, seconds: float, at: datetime) -> None:
        """The check did not get as far as the dependency, which says nothing of it."""
        self._told(seconds, message, at, unclear=True)

    def pause(self, usual: float, *, probing: bool) -> float:
        """Seconds until the next check. `probing`: the breaker waits for answers that let it close."""
        if not self.reachable:
            return min(usual, UNREACHABLE_PAUSE)
        return min(usual, SOON) if self._failures or self._unclear or probing else usual

    def _told(self, seconds: float, message: str, at: datetime, *, unclear: bool = False) -> None:
        self._unclear = unclear
        if not self.reachable:
            status = HealthStatus.UNHEALTHY
        else:
            status = HealthStatus.DEGRADED if message else HealthStatus.HEALTHY
        self.health = ComponentHealth(status, seconds, message, at)
