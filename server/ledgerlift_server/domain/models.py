"""Documents, events and the lists of them, as the domain sees them. Frozen: a change makes a new one.

Sizes are bytes, digests lower-case hex SHA-256, times aware UTC datetimes of the database's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `subject` owns what it creates, `roles` are names of `ledgerlift.v1.Role` values.

    `request_id` names this one request in logs, events and errors.
    """

    subject: str
    roles: frozenset[str]
    request_id: str


class ProcessingStatus(StrEnum):
    """Where downstream processing of a document stands."""

    UPLOADED = "UPLOADED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"


class EventType(StrEnum):
    """Names of the events that the service itself records."""

    DOCUMENT_CREATED = "document.created"
    DOCUMENT_DELETED = "document.deleted"
    STATUS_CHANGED = "document.status_changed"
    UPLOAD_FAILED = "upload.failed"
    UPLOAD_CANCELLED = "upload.cancelled"
    UPLOAD_EXPIRED = "upload.expired"


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document. `object_name` is where its bytes lie; several documents may share it."""

    document_id: str
    owner: str
    filename: str
    content_type: str
    size: int
    sha256: str
    key: str | None
    metadata: Mapping[str, str]
    status: ProcessingStatus
    error_message: str
    object_name: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the audit trail. `cursor` is its opaque position, comparable only by the repository."""

    event_id: str
    owner: str
    type: str
    actor: str
    request_id: str
    create_time: datetime
    cursor: str
    document_id: str | None = None
    upload_id: str | None = None
    from_status: ProcessingStatus | None = None
    to_status: ProcessingStatus | None = None
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a keyset list. `next_token` is empty on the last page."""

    items: tuple[T, ...]
    next_token: str


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Filters of ListDocuments, combined with AND; None matches everything."""

    status: ProcessingStatus | None = None
    content_type: str | None = None
    key_prefix: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filters of ListEvents and WatchEvents, combined with AND; None matches everything."""

    document_id: str | None = None
    upload_id: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """Number of documents and the sum of their sizes."""

    documents: int
    total_size: int


@dataclass(frozen=True, slots=True)
class DocumentStats:
    """Counts over one owner's documents. `objects` and `stored_size` count shared bytes once."""

    total: Count
    objects: int
    stored_size: int
    by_status: Mapping[ProcessingStatus, Count]
    by_content_type: tuple[tuple[str, Count], ...]


@dataclass(frozen=True, slots=True)
class ExistingDigest:
    """A digest of which the owner has a document: the oldest one, and its size."""

    sha256: str
    document_id: str
    size: int
