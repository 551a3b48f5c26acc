"""From the messages of OperationsService to the client's dataclasses. What only a newer server knows is UNKNOWN."""

from __future__ import annotations

from datetime import UTC, timedelta

from google.protobuf.duration_pb2 import Duration
from ledgerlift.v1 import operations_service_pb2 as pb

from ledgerlift_client._operations_models import (
    BreakerState,
    CircuitBreaker,
    ComponentHealth,
    ConnectionPool,
    HealthReport,
    HealthStatus,
    LatencyBucket,
    OperationStats,
    StorageStats,
    SystemResources,
)


def health_report(message: pb.HealthReport) -> HealthReport:
    """The report."""
    return HealthReport(
        status=_health(message.status),
        issues=tuple(message.issues),
        version=message.version,
        uptime=_span(message.uptime),
        check_time=message.check_time.ToDatetime(tzinfo=UTC),
        database=_component(message.database),
        storage=_component(message.storage),
        system=_system(message.system) if message.HasField("system") else None,
        pool=_pool(message.pool) if message.HasField("pool") else None,
        breakers=tuple(map(breaker, message.breakers)),
        storage_stats=storage_stats(message.storage_stats),
        document_count=message.document_count,
        total_size=message.total_size,
    )


def breaker(message: pb.CircuitBreaker) -> CircuitBreaker:
    """A circuit breaker."""
    try:
        state = BreakerState(pb.BreakerState.Name(message.state).removeprefix("BREAKER_STATE_"))
    except ValueError:
        state = BreakerState.UNKNOWN
    return CircuitBreaker(
        name=message.name,
        state=state,
        consecutive_failures=message.consecutive_failures,
        window_calls=message.window_calls,
        window_failures=message.window_failures,
        refused_count=message.refused_count,
        opened_count=message.opened_count,
        retry_after=_span(message.retry_after) if message.HasField("retry_after") else None,
    )


def storage_stats(message: pb.StorageStats) -> StorageStats:
    """The object store's statistics."""
    return StorageStats(
        backend=message.backend,
        operations=tuple(map(_operation, message.operations)),
        client_age=_span(message.client_age) if message.HasField("client_age") else None,
    )


def _operation(message: pb.OperationStats) -> OperationStats:
    return OperationStats(
        operation=message.operation,
        call_count=message.call_count,
        failure_count=message.failure_count,
        mean_latency=_span(message.mean_latency),
        max_latency=_span(message.max_latency),
        bytes=message.bytes,
        buckets=tuple(
            LatencyBucket(_span(one.upper_bound) if one.HasField("upper_bound") else None, one.count)
            for one in message.buckets
        ),
    )


def _component(message: pb.ComponentHealth) -> ComponentHealth:
    return ComponentHealth(
        status=_health(message.status),
        response_time=_span(message.response_time) if message.HasField("response_time") else None,
        message=message.message,
        check_time=message.check_time.ToDatetime(tzinfo=UTC) if message.HasField("check_time") else None,
    )


def _system(message: pb.SystemResources) -> SystemResources:
    return SystemResources(
        cpu_percent=message.cpu_percent,
        memory_percent=message.memory_percent,
        process_memory=message.process_memory,
        disk_percent=message.disk_percent,
        network_bytes_sent=message.network_bytes_sent,
        network_bytes_received=message.network_bytes_received,
    )


def _pool(message: pb.ConnectionPool) -> ConnectionPool:
    return ConnectionPool(
        size=message.size,
        checked_out=message.checked_out,
        overflow=message.overflow,
        max_connections=message.max_connections,
    )


def _health(value: int) -> HealthStatus:
    try:
        return HealthStatus(pb.HealthStatus.Name(value).removeprefix("HEALTH_STATUS_"))
    except ValueError:
        return HealthStatus.UNKNOWN


def _span(message: Duration) -> timedelta:
    return message.ToTimedelta()
