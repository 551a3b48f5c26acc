import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from ledgerlift.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HealthStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_STATUS_UNSPECIFIED: _ClassVar[HealthStatus]
    HEALTH_STATUS_HEALTHY: _ClassVar[HealthStatus]
    HEALTH_STATUS_DEGRADED: _ClassVar[HealthStatus]
    HEALTH_STATUS_UNHEALTHY: _ClassVar[HealthStatus]

class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_STATE_UNSPECIFIED: _ClassVar[BreakerState]
    BREAKER_STATE_CLOSED: _ClassVar[BreakerState]
    BREAKER_STATE_OPEN: _ClassVar[BreakerState]
    BREAKER_STATE_HALF_OPEN: _ClassVar[BreakerState]
HEALTH_STATUS_UNSPECIFIED: HealthStatus
HEALTH_STATUS_HEALTHY: HealthStatus
HEALTH_STATUS_DEGRADED: HealthStatus
HEALTH_STATUS_UNHEALTHY: HealthStatus
BREAKER_STATE_UNSPECIFIED: BreakerState
BREAKER_STATE_CLOSED: BreakerState
BREAKER_STATE_OPEN: BreakerState
BREAKER_STATE_HALF_OPEN: BreakerState

class GetHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetHealthResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: HealthReport
    def __init__(self, report: _Optional[_Union[HealthReport, _Mapping]] = ...) -> None: ...

class HealthReport(_message.Message):
    __slots__ = ("status", "issues", "version", "uptime", "check_time", "database", "storage", "system", "pool", "breakers", "storage_stats", "document_count", "total_size", "schema")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ISSUES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    CHECK_TIME_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_STATS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    status: HealthStatus
    issues: _containers.RepeatedScalarFieldContainer[str]
    version: str
    uptime: _duration_pb2.Duration
    check_time: _timestamp_pb2.Timestamp
    database: ComponentHealth
    storage: ComponentHealth
    system: SystemResources
    pool: ConnectionPool
    breakers: _containers.RepeatedCompositeFieldContainer[CircuitBreaker]
    storage_stats: StorageStats
    document_count: int
    total_size: int
    schema: DatabaseSchema
    def __init__(self, status: _Optional[_Union[HealthStatus, str]] = ..., issues: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., check_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., database: _Optional[_Union[ComponentHealth, _Mapping]] = ..., storage: _Optional[_Union[ComponentHealth, _Mapping]] = ..., system: _Optional[_Union[SystemResources, _Mapping]] = ..., pool: _Optional[_Union[ConnectionPool, _Mapping]] = ..., breakers: _Optional[_Iterable[_Union[CircuitBreaker, _Mapping]]] = ..., storage_stats: _Optional[_Union[StorageStats, _Mapping]] = ..., document_count: _Optional[int] = ..., total_size: _Optional[int] = ..., schema: _Optional[_Union[DatabaseSchema, _Mapping]] = ...) -> None: ...

class DatabaseSchema(_message.Message):
    __slots__ = ("revision", "server_revision", "least_server_revision")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SERVER_REVISION_FIELD_NUMBER: _ClassVar[int]
    LEAST_SERVER_REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: str
    server_revision: str
    least_server_revision: str
    def __init__(self, revision: _Optional[str] = ..., server_revision: _Optional[str] = ..., least_server_revision: _Optional[str] = ...) -> None: ...

class ComponentHealth(_message.Message):
    __slots__ = ("status", "response_time", "message", "check_time")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CHECK_TIME_FIELD_NUMBER: _ClassVar[int]
    status: HealthStatus
    response_time: _duration_pb2.Duration
    message: str
    check_time: _timestamp_pb2.Timestamp
    def __init__(self, status: _Optional[_Union[HealthStatus, str]] = ..., response_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., message: _Optional[str] = ..., check_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SystemResources(_message.Message):
    __slots__ = ("cpu_percent", "memory_percent", "process_memory", "disk_percent", "network_bytes_sent", "network_bytes_received")
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_MEMORY_FIELD_NUMBER: _ClassVar[int]
    DISK_PERCENT_FIELD_NUMBER: _ClassVar[int]
    NETWORK_BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    NETWORK_BYTES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    cpu_percent: float
    memory_percent: float
    process_memory: int
    disk_percent: float
    network_bytes_sent: int
    network_bytes_received: int
    def __init__(self, cpu_percent: _Optional[float] = ..., memory_percent: _Optional[float] = ..., process_memory: _Optional[int] = ..., disk_percent: _Optional[float] = ..., network_bytes_sent: _Optional[int] = ..., network_bytes_received: _Optional[int] = ...) -> None: ...

class ConnectionPool(_message.Message):
    __slots__ = ("size", "checked_out", "overflow", "max_connections")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CHECKED_OUT_FIELD_NUMBER: _ClassVar[int]
    OVERFLOW_FIELD_NUMBER: _ClassVar[int]
    MAX_CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    size: int
    checked_out: int
    overflow: int
    max_connections: int
    def __init__(self, size: _Optional[int] = ..., checked_out: _Optional[int] = ..., overflow: _Optional[int] = ..., max_connections: _Optional[int] = ...) -> None: ...

class GetCircuitBreakersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCircuitBreakersResponse(_message.Message):
    __slots__ = ("breakers",)
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    breakers: _containers.RepeatedCompositeFieldContainer[CircuitBreaker]
    def __init__(self, breakers: _Optional[_Iterable[_Union[CircuitBreaker, _Mapping]]] = ...) -> None: ...

class CircuitBreaker(_message.Message):
    __slots__ = ("name", "state", "consecutive_failures", "window_calls", "window_failures", "refused_count", "opened_count", "retry_after")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_CALLS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FAILURES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPENED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: BreakerState
    consecutive_failures: int
    window_calls: int
    window_failures: int
    refused_count: int
    opened_count: int
    retry_after: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[BreakerState, str]] = ..., consecutive_failures: _Optional[int] = ..., window_calls: _Optional[int] = ..., window_failures: _Optional[int] = ..., refused_count: _Optional[int] = ..., opened_count: _Optional[int] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ResetCircuitBreakerRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResetCircuitBreakerResponse(_message.Message):
    __slots__ = ("breaker",)
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    breaker: CircuitBreaker
    def __init__(self, breaker: _Optional[_Union[CircuitBreaker, _Mapping]] = ...) -> None: ...

class GetStorageStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStorageStatsResponse(_message.Message):
    __slots__ = ("stats",)
    STATS_FIELD_NUMBER: _ClassVar[int]
    stats: StorageStats
    def __init__(self, stats: _Optional[_Union[StorageStats, _Mapping]] = ...) -> None: ...

class StorageStats(_message.Message):
    __slots__ = ("backend", "operations", "client_age")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_AGE_FIELD_NUMBER: _ClassVar[int]
    backend: str
    operations: _containers.RepeatedCompositeFieldContainer[OperationStats]
    client_age: _duration_pb2.Duration
    def __init__(self, backend: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[OperationStats, _Mapping]]] = ..., client_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class OperationStats(_message.Message):
    __slots__ = ("operation", "call_count", "failure_count", "mean_latency", "max_latency", "bytes", "buckets")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEAN_LATENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_LATENCY_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    operation: str
    call_count: int
    failure_count: int
    mean_latency: _duration_pb2.Duration
    max_latency: _duration_pb2.Duration
    bytes: int
    buckets: _containers.RepeatedCompositeFieldContainer[LatencyBucket]
    def __init__(self, operation: _Optional[str] = ..., call_count: _Optional[int] = ..., failure_count: _Optional[int] = ..., mean_latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., bytes: _Optional[int] = ..., buckets: _Optional[_Iterable[_Union[LatencyBucket, _Mapping]]] = ...) -> None: ...

class LatencyBucket(_message.Message):
    __slots__ = ("upper_bound", "count")
    UPPER_BOUND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    upper_bound: _duration_pb2.Duration
    count: int
    def __init__(self, upper_bound: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...
