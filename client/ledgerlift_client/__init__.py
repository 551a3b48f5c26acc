"""The LedgerLift client: documents in, whole and verified, or a precise word on what to do next."""

from typing import TYPE_CHECKING

from ledgerlift_client import errors
from ledgerlift_client._breaker import CircuitBreakerStatus, CircuitState
from ledgerlift_client._cancel import CancelToken
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
from ledgerlift_client._transfer_events import (
    DuplicateFound,
    Failed,
    Finished,
    ProgressMade,
    Resumed,
    Retrying,
    Started,
    TransferEvent,
)
from ledgerlift_client._upload_plan import UploadItem, UploadOutcome
from ledgerlift_client.errors import LedgerLiftError

if TYPE_CHECKING:
    from ledgerlift_client._aio._client import AsyncLedgerLiftClient

__all__ = [
    "AsyncLedgerLiftClient",
    "LedgerLiftClient",
    "ClientOptions",
    "CancelToken",
    "Progress",
    "UploadItem",
    # What a transfer tells
    "TransferEvent",
    "Started",
    "ProgressMade",
    "Retrying",
    "Resumed",
    "DuplicateFound",
    "Finished",
    "Failed",
    # What it returns
    "CircuitBreakerStatus",
    "CircuitState",
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
    "UploadOutcome",
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


def __getattr__(name: str) -> object:
    """The asyncio client is loaded by those who use it."""
    if name == "AsyncLedgerLiftClient":
        from ledgerlift_client._aio._client import AsyncLedgerLiftClient

        return AsyncLedgerLiftClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
