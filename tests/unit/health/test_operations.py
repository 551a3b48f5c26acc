"""`health/operations.py`: the report of what is known, and the reset of a breaker."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ledgerlift_server.domain.models import Count
from ledgerlift_server.errors import InvalidRequest
from ledgerlift_server.health.board import HealthBoard
from ledgerlift_server.health.component import Component, HealthStatus
from ledgerlift_server.health.monitor import Monitor, MonitorOptions
from ledgerlift_server.health.operations import Operations, StorageStats
from ledgerlift_server.health.resources import SystemResources
from ledgerlift_server.resilience.breaker import BreakerState, CircuitBreaker, Outcome
from ledgerlift_server.resilience.call_statistics import CallStatistics

from tests.support.captured_log import Entries
from tests.support.clock import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Rig:
    """Operations over components whose state the test says."""

    def __init__(self) -> None:
        """All well, but nothing measured: call `measure`."""
        self.clock = ManualClock()
        self.database, self.storage = Component("database"), Component("storage")
        for component in (self.database, self.storage):
            component.answered(0.01, NOW)
        self.breakers = [CircuitBreaker(name, clock=self.clock) for name in ("storage", "database")]
        self.statistics = CallStatistics()
        self.resources = SystemResources(1.0, 1.0, 1.0, 1, 1, 1)
        self.monitor = Monitor(HealthBoard([], []), [], self._measure, self._count, MonitorOptions(), now=lambda: NOW)
        self.operations = Operations(
            self.monitor,
            self.database,
            self.storage,
            self.breakers,
            pool=lambda: None,
            schema=lambda: None,
            storage_stats=lambda: StorageStats("s3", self.statistics.snapshot(), 3.0),
            version="1.2.3",
            clock=self.clock,
        )

    async def _measure(self) -> SystemResources:
        return self.resources

    async def _count(self) -> Count:
        return Count(0, 0)


async def test_everything_well_is_healthy_without_an_issue() -> None:
    """With what the process knows of itself."""
    rig = Rig()
    await rig.monitor.refresh()
    rig.clock.advance(90)
    rig.statistics.record("part.put", 0.5, failed=False, size=10)
    report = rig.operations.health()
    assert (report.status, report.issues) == (HealthStatus.HEALTHY, ())
    assert (report.version, report.uptime, report.check_time) == ("1.2.3", 90.0, NOW)
    assert [breaker.name for breaker in report.breakers] == ["database", "storage"]
    assert [one.operation for one in report.storage_stats.operations] == ["part.put"]


async def test_what_is_wrong_is_named_and_the_worst_counts() -> None:
    """A full disk degrades; a dependency that lost one answer too; an unreachable one is UNHEALTHY."""
    rig = Rig()
    rig.resources = SystemResources(1.0, 1.0, 99.0, 1, 1, 1)
    await rig.monitor.refresh()
    report = rig.operations.health()
    assert (report.status, report.issues) == (HealthStatus.DEGRADED, ("high_disk",))
    rig.database.failed("no answer", 3.0, NOW)
    report = rig.operations.health()
    assert (report.status, report.issues) == (HealthStatus.DEGRADED, ("high_disk", "database"))
    rig.storage.failed("not asked", 0.0, NOW, certain=True)
    report = rig.operations.health()
    assert (report.status, report.issues) == (HealthStatus.UNHEALTHY, ("high_disk", "database", "storage"))


async def test_a_machine_that_was_not_measured_is_degraded() -> None:
    """Not healthy by default."""
    assert Rig().operations.health().status is HealthStatus.DEGRADED


async def test_a_reset_closes_the_breaker_and_says_who_did_it(log: Entries) -> None:
    """The answer is how it stands afterwards."""
    rig = Rig()
    storage = rig.breakers[0]
    for _ in range(5):
        storage.acquire().end(Outcome.FAILURE)
    assert storage.snapshot().state is BreakerState.OPEN
    after = rig.operations.reset_breaker("storage", by="alice")
    assert (after.name, after.state, after.opened_count) == ("storage", BreakerState.CLOSED, 1)
    (entry,) = [entry for entry in log() if entry["event"] == "breaker_reset"]
    assert (entry["breaker"], entry["state"], entry["caller"]) == ("storage", "OPEN", "alice")


@pytest.mark.parametrize("name", ["", "Storage", "s3", "nothing"])
async def test_an_unknown_breaker_is_refused_with_the_known_ones(name: str) -> None:
    """The caller learns what it could have said."""
    with pytest.raises(InvalidRequest) as caught:
        Rig().operations.reset_breaker(name, by="alice")
    (violation,) = caught.value.violations
    assert (violation.field, violation.description) == ("name", "must be `database` or `storage`")
