"""Upload sessions, their parts, and what the ledger keeps of them. Frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ledgerlift_server.domain.models import Document


class UploadState(StrEnum):
    """State of an upload session; the transitions stand in `domain/session_rules.py`."""

    ACTIVE = "ACTIVE"
    COMMITTING = "COMMITTING"
    COMMITTED = "COMMITTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """True when the session will never change again."""
        return self not in (UploadState.ACTIVE, UploadState.COMMITTING)


class DuplicatePolicy(StrEnum):
    """What to do when the owner already has the bytes."""

    RETURN_EXISTING = "RETURN_EXISTING"
    REJECT = "REJECT"
    CREATE_NEW = "CREATE_NEW"


@dataclass(frozen=True, slots=True)
class UploadSpec:
    """What the uploader said of the document, validated. None means not declared."""

    filename: str
    content_type: str
    size: int | None = None
    sha256: str | None = None
    key: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    duplicate_policy: DuplicatePolicy = DuplicatePolicy.RETURN_EXISTING
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that the store acknowledged. `number` counts from 1; `etag` is the store's own token for it."""

    number: int
    size: int
    etag: str
    crc32c: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one Upload call received; kept with the session, so that a replay answers the same."""

    bytes_received: int = 0
    bytes_skipped: int = 0
    part_count: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class UploadSession:
    """A session as the ledger holds it.

    `epoch` is the fencing epoch of the stream that holds it (0: nobody yet). `persisted_size` is the
    durable contiguous prefix in bytes; `part_count` the parts in it; `sha_state` the saved state of
    SHA-256 over exactly that prefix (None: not available, the object is read back before publishing).
    `object_name` is where the bytes go: unique to the session. A single PutObject goes to
    `put_name(epoch)` instead, so that a fenced holder's late write cannot touch a newer holder's object.
    `multipart_id` is the store's id of the multipart upload, None before the first part.
    `final_*` are set from COMMITTING on. `document_id` is set once COMMITTED.
    """

    upload_id: str
    owner: str
    spec: UploadSpec
    state: UploadState
    epoch: int
    part_size: int
    persisted_size: int
    part_count: int
    sha_state: bytes | None
    object_name: str
    multipart_id: str | None
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    final_size: int | None = None
    final_sha256: str | None = None
    final_object: str | None = None
    document_id: str | None = None
    duplicate: bool = False
    receipt: Receipt = Receipt()
    error_reason: str | None = None
    error_message: str = ""

    def put_name(self, epoch: int) -> str:
        """Name of the object that a single PutObject of the holder of `epoch` writes."""
        return f"{self.object_name}.{epoch}"


@dataclass(frozen=True, slots=True)
class NewSession:
    """What the domain decides about a session before the ledger opens it. `lifetime` is in seconds.

    `epoch` is the first fencing epoch: 1 where the stream that opens the session holds it at once, 0
    where nobody does yet.
    """

    upload_id: str
    owner: str
    spec: UploadSpec
    part_size: int
    object_name: str
    lifetime: float
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Sealed:
    """All bytes of a document, durable in the store and not yet published.

    `sha256` is None where the hash state was lost over a resume. `unrecorded` are the parts that the
    ledger has not seen. `single_put` names the object of a document below one part.
    """

    size: int
    sha256: str | None
    unrecorded: tuple[StoredPart, ...]
    part_count: int
    persisted_size: int
    single_put: str | None


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """Everything that enters the ledger when a session goes from ACTIVE to COMMITTING.

    `sha256` is None where it is not known yet (hash state lost over a resume): then the object is read
    back and hashed before it is published. `object_name` is the multipart's or a single PutObject's.
    `single_put` says which of the two. `tail` holds the parts not yet in the ledger.
    """

    size: int
    sha256: str | None
    object_name: str
    single_put: bool
    tail: tuple[StoredPart, ...]
    receipt: Receipt
    declared_sha256: str | None


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of the publishing transaction: the session COMMITTED and its document."""

    session: UploadSession
    document: Document


@dataclass(frozen=True, slots=True)
class SessionPulse:
    """The few facts that running streams and watchers poll for, many sessions in one query."""

    upload_id: str
    epoch: int
    state: UploadState
    persisted_size: int
    update_time: datetime


@dataclass(frozen=True, slots=True)
class UploadFilter:
    """Filters of ListUploads, combined with AND; None matches everything."""

    request_id: str | None = None
    state: UploadState | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """An entry of the outbox: what is to be removed from the store.

    `multipart_id` set: abort that multipart upload of `object_name` until the store says it is gone.
    In every case delete the object `object_name` if it is there (idempotent).
    """

    removal_id: int
    object_name: str
    multipart_id: str | None
    attempts: int
