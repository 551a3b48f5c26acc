"""What the client hands out about the service itself. Sizes are bytes, shares per cent (0 to 100), times UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class HealthStatus(StrEnum):
    """How well the service or one of its components is."""

    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    """Requests are served, and something wants looking at."""
    UNHEALTHY = "UNHEALTHY"
    """Requests that need a failed component are refused."""
    UNKNOWN = "UNKNOWN"
    """Not looked at yet, or a status of a newer server."""


class BreakerState(StrEnum):
    """Where a circuit breaker stands."""

    CLOSED = "CLOSED"
    """Calls go through."""
    OPEN = "OPEN"
    """Calls are refused at once."""
    HALF_OPEN = "HALF_OPEN"
    """A few probes go through."""
    UNKNOWN = "UNKNOWN"
    """A state of a newer server that this client does not know."""


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """A breaker of the server's process that answered. `retry_after` is None unless it is OPEN."""

    name: str
    state: BreakerState
    consecutive_failures: int
    window_calls: int
    window_failures: int
    refused_count: int
    opened_count: int
    retry_after: timedelta | None


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One dependency, as the last check found it; `message` is empty when nothing is wrong.

    `response_time` and `check_time` are None before the first check.
    """

    status: HealthStatus
    response_time: timedelta | None
    message: str
    check_time: datetime | None


@dataclass(frozen=True, slots=True)
class SystemResources:
    """The machine. `process_memory` is the resident memory of the server's process."""

    cpu_percent: float
    memory_percent: float
    process_memory: int
    disk_percent: float
    network_bytes_sent: int
    network_bytes_received: int


@dataclass(frozen=True, slots=True)
class ConnectionPool:
    """Connections to the database: kept, in use, open beyond those kept, and the most that may be open."""

    size: int
    checked_out: int
    overflow: int
    max_connections: int


@dataclass(frozen=True, slots=True)
class LatencyBucket:
    """Calls that took at most `upper_bound` (None: no bound), and longer than the bucket before."""

    upper_bound: timedelta | None
    count: int


@dataclass(frozen=True, slots=True)
class OperationStats:
    """One kind of operation on the object store, since the server's process began."""

    operation: str
    call_count: int
    failure_count: int
    mean_latency: timedelta
    max_latency: timedelta
    bytes: int
    buckets: tuple[LatencyBucket, ...]


@dataclass(frozen=True, slots=True)
class StorageStats:
    """The object store as the server's process saw it. `client_age` is None where its store has no client."""

    backend: str
    operations: tuple[OperationStats, ...]
    client_age: timedelta | None


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Health of the server's process that answered. `pool` is None on SQLite, `system` before it was looked at.

    `issues` are names: `high_cpu`, `high_memory`, `high_disk`, `database`, `storage`. `document_count` and
    `total_size` are over all owners.
    """

    status: HealthStatus
    issues: tuple[str, ...]
    version: str
    uptime: timedelta
    check_time: datetime
    database: ComponentHealth
    storage: ComponentHealth
    system: SystemResources | None
    pool: ConnectionPool | None
    breakers: tuple[CircuitBreaker, ...]
    storage_stats: StorageStats
    document_count: int
    total_size: int
