"""What operators ask and do: the report, the breakers, the store's statistics. Nothing here waits for anything."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ledgerlift_server.domain.models import Count
from ledgerlift_server.domain.schema_state import SchemaState
from ledgerlift_server.errors import FieldViolation, InvalidRequest
from ledgerlift_server.health.component import Component, ComponentHealth, HealthStatus, worst
from ledgerlift_server.health.monitor import Monitor
from ledgerlift_server.health.resources import SystemResources
from ledgerlift_server.resilience.breaker import BreakerSnapshot, CircuitBreaker
from ledgerlift_server.resilience.call_statistics import OperationSnapshot
from ledgerlift_server.resilience.deadline import Clock
from ledgerlift_server.resilience.pool_use import PoolUse

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StorageStats:
    """The object store as this process sees it. `client_age` in seconds; None where there is no client."""

    backend: str
    operations: Sequence[OperationSnapshot]
    client_age: float | None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole report. What costs nothing to look up is of this moment, the rest of `check_time`."""

    status: HealthStatus
    issues: Sequence[str]
    version: str
    uptime: float
    """Seconds since the process began to serve."""
    check_time: datetime
    database: ComponentHealth
    storage: ComponentHealth
    system: SystemResources | None
    schema: SchemaState | None
    pool: PoolUse | None
    breakers: Sequence[BreakerSnapshot]
    storage_stats: StorageStats
    totals: Count


class Operations:
    """What stands behind `OperationsService`."""

    def __init__(
        self,
        monitor: Monitor,
        database: Component,
        storage: Component,
        breakers: Iterable[CircuitBreaker],
        *,
        pool: Callable[[], PoolUse | None],
        schema: Callable[[], SchemaState | None],
        storage_stats: Callable[[], StorageStats],
        version: str,
        clock: Clock = time.monotonic,
    ) -> None:
        """`pool`, `schema` and `storage_stats` look up what is known in this process."""
        self._monitor = monitor
        self._database = database
        self._storage = storage
        self._breakers: Mapping[str, CircuitBreaker] = {
            breaker.name: breaker for breaker in sorted(breakers, key=lambda one: one.name)
        }
        self._pool = pool
        self._schema = schema
        self._storage_stats = storage_stats
        self._version = version
        self._clock = clock
        self._began = clock()

    def health(self) -> HealthReport:
        """As it was last found out."""
        components = (self._database, self._storage)
        machine_is_well = self._monitor.resources is not None and not self._monitor.issues
        machine = HealthStatus.HEALTHY if machine_is_well else HealthStatus.DEGRADED
        return HealthReport(
            status=worst(machine, *(one.health.status for one in components)),
            issues=(*self._monitor.issues, *(one.name for one in components if one.health.message)),
            version=self._version,
            uptime=self._clock() - self._began,
            check_time=self._monitor.check_time,
            database=self._database.health,
            storage=self._storage.health,
            system=self._monitor.resources,
            schema=self._schema(),
            pool=self._pool(),
            breakers=self.breakers(),
            storage_stats=self._storage_stats(),
            totals=self._monitor.totals,
        )

    def breakers(self) -> Sequence[BreakerSnapshot]:
        """Of this process, in the order of their names."""
        return tuple(breaker.snapshot() for breaker in self._breakers.values())

    def reset_breaker(self, name: str, *, by: str) -> BreakerSnapshot:
        """Close it and forget what it counted; how it stands then. `by` is for the log. Raises InvalidRequest."""
        breaker = self._breakers.get(name)
        if breaker is None:
            known = " or ".join(f"`{known}`" for known in self._breakers)
            raise InvalidRequest([FieldViolation("name", f"must be {known}")])
        before = breaker.snapshot()
        breaker.reset()
        logger.warning("breaker_reset", extra={"breaker": name, "state": before.state.value, "caller": by})
        return breaker.snapshot()

    def storage_stats(self) -> StorageStats:
        """Counts since the process began."""
        return self._storage_stats()
