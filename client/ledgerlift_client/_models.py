"""What the client hands out: plain frozen dataclasses. Sizes are bytes, digests lower-case hex SHA-256, times UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class ProcessingStatus(StrEnum):
    """Where downstream processing of a document stands."""

    UPLOADED = "UPLOADED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    UNKNOWN = "UNKNOWN"
    """A status of a newer server that this client does not know."""


class UploadState(StrEnum):
    """State of an upload session."""

    ACTIVE = "ACTIVE"
    COMMITTING = "COMMITTING"
    COMMITTED = "COMMITTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"
    """A state of a newer server that this client does not know."""


class DuplicatePolicy(StrEnum):
    """What the server does when the owner already has the bytes that are being uploaded."""

    RETURN_EXISTING = "RETURN_EXISTING"
    """Answer the existing document; the new name, metadata and key are ignored."""
    REJECT = "REJECT"
    """Refuse with DuplicateDocument."""
    CREATE_NEW = "CREATE_NEW"
    """Make a new document on the same stored object."""


class StopReason(StrEnum):
    """Why an Upload call ended without a document."""

    NONE = "NONE"
    """It committed."""
    SEGMENT_END = "SEGMENT_END"
    DRAINING = "DRAINING"
    STALLED = "STALLED"
    DEADLINE = "DEADLINE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document. `key` is empty when none was given; `error_message` when processing did not fail."""

    document_id: str
    filename: str
    content_type: str
    size: int
    sha256: str
    key: str
    owner: str
    metadata: Mapping[str, str]
    status: ProcessingStatus
    error_message: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class UploadSpec:
    """What an uploader says of a document. `size` None and empty `sha256` mean not declared."""

    filename: str
    content_type: str
    size: int | None = None
    sha256: str = ""
    key: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    duplicate_policy: DuplicatePolicy = DuplicatePolicy.RETURN_EXISTING
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload session. `persisted_size` bytes from the first are durable; `document_id` is set once COMMITTED."""

    upload_id: str
    state: UploadState
    spec: UploadSpec
    persisted_size: int
    part_size: int
    segment_size: int
    document_id: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    error_message: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server received in the call that committed; all zero where no byte had to be sent."""

    bytes_received: int = 0
    bytes_skipped: int = 0
    part_count: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class UploadResult:
    """A document that is durable. `duplicate`: it was there before this upload.

    `request_id` is the idempotency key that was used. `upload_id` is None only where something between
    strips response headers. `resent_bytes` were sent more than once. `attempts` is 1 when nothing broke,
    and one more for every call that had to be made again.
    """

    document: Document
    duplicate: bool
    receipt: Receipt
    upload_id: str | None
    request_id: str
    resent_bytes: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the audit trail. The two statuses are None unless the event is a change of status."""

    event_id: str
    document_id: str
    upload_id: str
    type: str
    actor: str
    request_id: str
    from_status: ProcessingStatus | None
    to_status: ProcessingStatus | None
    detail: Mapping[str, str]
    create_time: datetime
    cursor: str


@dataclass(frozen=True, slots=True)
class Count:
    """Number of documents and the sum of their sizes."""

    documents: int
    total_size: int


@dataclass(frozen=True, slots=True)
class DocumentStats:
    """Counts over the caller's documents. `objects` and `stored_size` count shared bytes once."""

    total: Count
    objects: int
    stored_size: int
    by_status: Mapping[ProcessingStatus, Count]
    by_content_type: Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class ExistingDigest:
    """A digest that the caller has a document of: the oldest one, and its size."""

    sha256: str
    document_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that a server sets."""

    max_document_size: int
    max_message_size: int
    segment_size: int
    part_size: int
    session_lifetime: timedelta
    allowed_content_types: tuple[str, ...]
    request_id_lifetime: timedelta
    max_metadata_entries: int
    stall_timeout: timedelta


@dataclass(frozen=True, slots=True)
class UploadAnswer:
    """The outcome of one Upload call: a document, or a session with what of it is durable."""

    document: Document | None
    upload: Upload | None
    stop_reason: StopReason
    duplicate: bool
    receipt: Receipt
