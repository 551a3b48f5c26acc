"""What operators are told, as messages. Nothing comes in but a name."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from ledgerlift.v1 import operations_service_pb2 as pb

from ledgerlift_server.health.component import ComponentHealth
from ledgerlift_server.health.operations import HealthReport, StorageStats
from ledgerlift_server.health.resources import SystemResources
from ledgerlift_server.resilience.breaker_models import BreakerSnapshot
from ledgerlift_server.resilience.call_statistics import OperationSnapshot
from ledgerlift_server.rpc.convert import timestamp


def duration(seconds: float | None) -> Duration | None:
    """Seconds on the wire; None stays unset."""
    if seconds is None:
        return None
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message


def report_message(report: HealthReport) -> pb.HealthReport:
    """The report for the wire."""
    return pb.HealthReport(
        status=f"HEALTH_STATUS_{report.status}",
        issues=report.issues,
        version=report.version,
        uptime=duration(report.uptime),
        check_time=timestamp(report.check_time),
        database=_component(report.database),
        storage=_component(report.storage),
        system=None if report.system is None else _resources(report.system),
        schema=_schema(report),
        pool=_pool(report),
        breakers=map(breaker_message, report.breakers),
        storage_stats=stats_message(report.storage_stats),
        document_count=report.totals.documents,
        total_size=report.totals.total_size,
    )


def breaker_message(breaker: BreakerSnapshot) -> pb.CircuitBreaker:
    """A breaker for the wire."""
    return pb.CircuitBreaker(
        name=breaker.name,
        state=f"BREAKER_STATE_{breaker.state.value}",
        consecutive_failures=breaker.consecutive_failures,
        window_calls=breaker.window_calls,
        window_failures=breaker.window_failures,
        refused_count=breaker.refused_count,
        opened_count=breaker.opened_count,
        retry_after=duration(breaker.retry_after),
    )


def stats_message(stats: StorageStats) -> pb.StorageStats:
    """The store's statistics for the wire."""
    return pb.StorageStats(
        backend=stats.backend,
        operations=map(_operation, stats.operations),
        client_age=duration(stats.client_age),
    )


def _operation(operation: OperationSnapshot) -> pb.OperationStats:
    return pb.OperationStats(
        operation=operation.operation,
        call_count=operation.calls,
        failure_count=operation.failures,
        mean_latency=duration(operation.total_seconds / operation.calls if operation.calls else 0.0),
        max_latency=duration(operation.max_seconds),
        bytes=operation.size,
        buckets=[pb.LatencyBucket(upper_bound=duration(upper), count=count) for upper, count in operation.buckets],
    )


def _component(health: ComponentHealth) -> pb.ComponentHealth:
    return pb.ComponentHealth(
        status=f"HEALTH_STATUS_{health.status}",
        response_time=duration(health.response_time),
        message=health.message,
        check_time=None if health.check_time is None else timestamp(health.check_time),
    )


def _resources(resources: SystemResources) -> pb.SystemResources:
    return pb.SystemResources(
        cpu_percent=resources.cpu_percent,
        memory_percent=resources.memory_percent,
        process_memory=resources.process_memory,
        disk_percent=resources.disk_percent,
        network_bytes_sent=resources.network_bytes_sent,
        network_bytes_received=resources.network_bytes_received,
    )


def _pool(report: HealthReport) -> pb.ConnectionPool | None:
    pool = report.pool
    if pool is None:
        return None
    return pb.ConnectionPool(
        size=pool.size,
        checked_out=pool.checked_out,
        overflow=pool.overflow,
        max_connections=pool.max_connections,
    )


def _schema(report: HealthReport) -> pb.DatabaseSchema | None:
    if report.schema is None:
        return None
    return pb.DatabaseSchema(
        revision=report.schema.revision,
        server_revision=report.schema.server_revision,
        least_server_revision=report.schema.least_server_revision,
    )
