"""The LedgerLift client: documents in, whole and verified, or a precise word on what to do next."""

from ledgerlift_client import errors
from ledgerlift_client._client import LedgerLiftClient
from ledgerlift_client._models import (
    Count,
    Document,
    DocumentStats,
    DuplicatePolicy,
    Event,
    ExistingDigest,
    Limits,
    ProcessingStatus,
    Receipt,
    Upload,
    UploadResult,
    UploadSpec,
    UploadState,
)
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
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._progress import Progress
from ledgerlift_client.errors import LedgerLiftError

__all__ = [
    "LedgerLiftClient",
    "ClientOptions",
    "Progress",
    # What it returns
    "Count",
    "Document",
    "DocumentStats",
    "DuplicatePolicy",
    "Event",
    "ExistingDigest",
    "Limits",
    "ProcessingStatus",
    "Receipt",
    "Upload",
    "UploadResult",
    "UploadSpec",
    "UploadState",
    # What it returns about the service
    "BreakerState",
    "CircuitBreaker",
    "ComponentHealth",
    "ConnectionPool",
    "HealthReport",
    "HealthStatus",
    "LatencyBucket",
    "OperationStats",
    "StorageStats",
    "SystemResources",
    # What it raises
    "LedgerLiftError",
    "errors",
]
