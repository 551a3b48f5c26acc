"""Every failure that a caller can be told of.

    LedgerLiftError
    ├── InvalidRequest              one or more fields are wrong, each named
    ├── ContentError                the bytes are not what was declared
    │   ├── ChecksumMismatch
    │   ├── SizeMismatch
    │   ├── ContentTypeMismatch
    │   └── DocumentTooLarge
    ├── OffsetGap
    ├── NotFound
    │   ├── DocumentNotFound
    │   └── UploadNotFound
    ├── PreconditionFailed          the thing is there, but not in a state that allows this
    │   ├── UploadExpired
    │   ├── UploadCancelled
    │   ├── UploadFailed
    │   ├── UploadAlreadyCommitted
    │   ├── UploadIncomplete
    │   └── InvalidStatusTransition
    ├── UploadSuperseded
    ├── Conflict
    │   ├── DuplicateDocument
    │   ├── KeyTaken
    │   └── RequestIdReused
    ├── TryLater                    nothing is wrong with the request; carries `retry_after`
    │   ├── CircuitOpen
    │   ├── DependencyUnavailable
    │   ├── UploadCommitting
    │   ├── UploadStalled
    │   ├── UploadDeadline
    │   ├── Draining
    │   └── Overloaded
    ├── DeadlineExceeded
    ├── StoredObjectCorrupt
    ├── Unauthenticated
    └── PermissionDenied

Which gRPC code each becomes stands in one table, `rpc/status.py`. An exception that is not in this
tree is a defect: its text goes to the log, and the caller is told INTERNAL and a request id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong: its path in the request (`spec.filename`) and what would be right."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """The thing an error is about: its type (`document`, `upload`) and its id."""

    type: str
    id: str


class LedgerLiftError(Exception):
    """Root of the tree.

    `reason` is stable and machine-readable (AIP-193); `metadata` holds the facts a caller needs in
    order to act, such as `upload_id` and `persisted_size`; `retry_after` is in seconds. `rerun`: the same call
    may well succeed a moment later, and nothing further in has tried it again (`interceptors/retry.py`).
    """

    reason: str = "INTERNAL"
    rerun: bool = False

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        resource: Resource | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after
        self.resource = resource


class InvalidRequest(LedgerLiftError):
    """One or more fields are wrong. All of them are listed at once."""

    reason = "INVALID_FIELD"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}")
        self.violations = tuple(violations)


class ContentError(LedgerLiftError):
    """The bytes that arrived are not what was declared."""


class ChecksumMismatch(ContentError):
    """A message's CRC-32C or the document's SHA-256 does not match its bytes."""

    reason = "CHECKSUM_MISMATCH"


class SizeMismatch(ContentError):
    """The number of bytes is not the declared one."""

    reason = "SIZE_MISMATCH"


class ContentTypeMismatch(ContentError):
    """The first bytes are those of another type than the declared one."""

    reason = "CONTENT_TYPE_MISMATCH"


class DocumentTooLarge(ContentError):
    """More bytes than the limit; `metadata["limit"]` holds it."""

    reason = "DOCUMENT_TOO_LARGE"


class OffsetGap(LedgerLiftError):
    """A message does not begin where the one before ended; `metadata["expected_offset"]` says where it should."""

    reason = "OFFSET_GAP"


class NotFound(LedgerLiftError):
    """No such thing among the caller's own."""


class DocumentNotFound(NotFound):
    """No such document, or another owner's."""

    reason = "DOCUMENT_NOT_FOUND"

    def __init__(self, document_id: str) -> None:
        super().__init__(f"document {document_id} not found", resource=Resource("document", document_id))


class UploadNotFound(NotFound):
    """No such session, or another owner's."""

    reason = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"upload {upload_id} not found", resource=Resource("upload", upload_id))


class PreconditionFailed(LedgerLiftError):
    """The thing is there, but not in a state that allows this."""


class UploadExpired(PreconditionFailed):
    """Nobody sent anything for the session's lifetime."""

    reason = "UPLOAD_EXPIRED"


class UploadCancelled(PreconditionFailed):
    """The caller gave the session up."""

    reason = "UPLOAD_CANCELLED"


class UploadFailed(PreconditionFailed):
    """The session was refused for good; `metadata["cause"]` holds the reason of the first refusal."""

    reason = "UPLOAD_FAILED"


class UploadAlreadyCommitted(PreconditionFailed):
    """The session is committing or committed and cannot be given up."""

    reason = "UPLOAD_ALREADY_COMMITTED"


class UploadIncomplete(PreconditionFailed):
    """The stream ended without `finish_write`; what is durable stays."""

    reason = "UPLOAD_INCOMPLETE"


class InvalidStatusTransition(PreconditionFailed):
    """Processing status cannot change this way."""

    reason = "INVALID_STATUS_TRANSITION"


class UploadSuperseded(LedgerLiftError):
    """A newer stream has taken the session over (its fencing epoch is higher)."""

    reason = "UPLOAD_SUPERSEDED"


class Conflict(LedgerLiftError):
    """Something with this identity is there already."""


class DuplicateDocument(Conflict):
    """The owner has these bytes already, and the policy is REJECT."""

    reason = "DUPLICATE_DOCUMENT"


class KeyTaken(Conflict):
    """The natural key belongs to another document."""

    reason = "KEY_TAKEN"


class RequestIdReused(Conflict):
    """The same request id came with another spec."""

    reason = "REQUEST_ID_REUSED"


class TryLater(LedgerLiftError):
    """Nothing is wrong with the request; it may succeed after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, metadata=metadata, retry_after=retry_after)


class CircuitOpen(TryLater):
    """The breaker of a dependency is open; `metadata["dependency"]` names it."""

    reason = "CIRCUIT_OPEN"

    @classmethod
    def of(cls, dependency: str, *, retry_after: float) -> CircuitOpen:
        """What whoever meets the breaker of `dependency` is told."""
        message = f"the {dependency} fails and is not asked for a while"
        return cls(message, retry_after=retry_after, metadata={"dependency": dependency})


class DependencyUnavailable(TryLater):
    """A dependency failed or did not answer in its own time.

    `answered`: it did answer, with a refusal that somebody has to do something about (a wrong password, a bucket
    that is not there). A breaker would not help, and what repaired it would wait for the breaker.
    """

    reason = "DEPENDENCY_UNAVAILABLE"

    def __init__(
        self,
        message: str,
        *,
        retry_after: float = 1.0,
        metadata: Mapping[str, str] | None = None,
        answered: bool = False,
    ) -> None:
        super().__init__(message, retry_after=retry_after, metadata=metadata)
        self.answered = answered


class UploadCommitting(TryLater):
    """The session is being published; its result will be there shortly."""

    reason = "UPLOAD_COMMITTING"


class UploadStalled(TryLater):
    """No message came for the stall time."""

    reason = "UPLOAD_STALLED"


class UploadDeadline(TryLater):
    """The call's deadline was near; what is durable stays."""

    reason = "UPLOAD_DEADLINE"


class Draining(TryLater):
    """The server is shutting down; another will answer."""

    reason = "DRAINING"


class Overloaded(TryLater):
    """Out of memory budget, streams or rate."""

    reason = "OVERLOADED"


class DeadlineExceeded(LedgerLiftError):
    """The call's deadline passed. The outcome is unknown to the caller."""

    reason = "DEADLINE_EXCEEDED"


class StoredObjectCorrupt(LedgerLiftError):
    """The stored bytes are not those that were committed."""

    reason = "STORED_OBJECT_CORRUPT"


class Unauthenticated(LedgerLiftError):
    """No or bad credentials."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(LedgerLiftError):
    """The caller's roles do not allow this method."""

    reason = "PERMISSION_DENIED"
