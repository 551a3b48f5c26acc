"""Everything that a call can end with besides its result.

    LedgerLiftError
    ├── InvalidArgument             fields are wrong; `violations` names each
    ├── ContentError                the bytes are not what was declared, or not those that were sent
    │   ├── ChecksumMismatch
    │   ├── SizeMismatch
    │   ├── ContentTypeMismatch
    │   └── DocumentTooLarge        `limit`
    ├── OffsetGap                   `expected_offset`
    ├── NotFound
    │   ├── DocumentNotFound
    │   └── UploadNotFound
    ├── FailedPrecondition
    │   ├── UploadExpired
    │   ├── UploadCancelled
    │   ├── UploadFailed
    │   ├── UploadAlreadyCommitted
    │   ├── UploadIncomplete
    │   └── InvalidStatusTransition
    ├── UploadSuperseded            a newer stream has taken the session over
    ├── Cancelled                   the caller's own CancelToken was cancelled
    ├── Conflict
    │   ├── DuplicateDocument       `document_id`
    │   ├── KeyTaken                `document_id`
    │   └── RequestIdReused
    ├── TryLater                    nothing is wrong with the request; `retry_after`
    │   ├── Unavailable
    │   │   ├── NotConnected        nothing was sent
    │   │   │   └── TlsFailed       the server's certificate is not trusted, or only one side speaks TLS
    │   │   ├── CircuitOpen
    │   │   ├── DependencyUnavailable
    │   │   ├── UploadCommitting
    │   │   ├── UploadStalled
    │   │   ├── UploadDeadline
    │   │   └── Draining
    │   └── Overloaded
    ├── ResourceExhausted           a message larger than the server takes, or a quota
    ├── DeadlineExceeded            the outcome is unknown
    ├── DataLoss
    │   └── StoredObjectCorrupt
    ├── Unauthenticated
    ├── PermissionDenied
    ├── Unimplemented               the target does not offer this method
    ├── ServerError                 the server failed in a way it does not explain (INTERNAL, UNKNOWN)
    └── SourceError                 found on this side, while reading what was to be uploaded
        ├── SourceChanged
        └── SourceNotRewindable

Which of them an answer becomes is decided in `_decode.py`. What a source itself raises while it is
read, and what a `progress` callback raises, reaches the caller as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that is wrong: its path in the request (`spec.filename`) and what would be right."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """The thing that an error is about: its type (`document`, `upload`) and its id."""

    type: str
    id: str


class LedgerLiftError(Exception):
    """Root of the tree.

    `code` is the gRPC status code, None for what was found on this side. `reason` is stable and
    machine-readable, empty when the answer did not come from LedgerLift itself. `request_id` is what the
    server's log knows the call by. `metadata` holds the facts needed to act, such as `upload_id` and
    `persisted_size`. `attempts` counts the calls that were made. `retryable`: the same call may succeed
    later, not before `retry_after` seconds where that is given.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        request_id: str = "",
        metadata: Mapping[str, str] | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        violations: Sequence[FieldViolation] = (),
        resource: Resource | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.request_id = request_id
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retryable = retryable
        self.retry_after = retry_after
        self.violations = tuple(violations)
        self.resource = resource
        self.attempts = attempts

    @property
    def upload_id(self) -> str | None:
        """The upload session that this is about; `resume` goes on with it where the session is still active."""
        return self.metadata.get("upload_id") or None

    def _number(self, name: str) -> int | None:
        value = self.metadata.get(name, "")
        return int(value) if value.isascii() and value.isdigit() else None


class InvalidArgument(LedgerLiftError):
    """One or more fields are wrong; `violations` lists them."""


class ContentError(LedgerLiftError):
    """The bytes are not what was declared."""


class ChecksumMismatch(ContentError):
    """A CRC-32C or SHA-256 does not match the bytes it came with."""


class SizeMismatch(ContentError):
    """The number of bytes is not the declared one."""


class ContentTypeMismatch(ContentError):
    """The first bytes are those of another type than the declared one."""


class DocumentTooLarge(ContentError):
    """More bytes than the server takes."""

    @property
    def limit(self) -> int | None:
        """The server's limit in bytes."""
        return self._number("limit")


class OffsetGap(LedgerLiftError):
    """A message did not begin where the one before ended."""

    @property
    def expected_offset(self) -> int | None:
        """Where it should have begun, in bytes."""
        return self._number("expected_offset")


class NotFound(LedgerLiftError):
    """No such thing among the caller's own."""


class DocumentNotFound(NotFound):
    """No such document, or another owner's."""


class UploadNotFound(NotFound):
    """No such upload session, or another owner's."""


class FailedPrecondition(LedgerLiftError):
    """The thing is there, but not in a state that allows this."""


class UploadExpired(FailedPrecondition):
    """Nobody sent anything for the session's lifetime. Upload again; the same request id may be used."""


class UploadCancelled(FailedPrecondition):
    """The session was given up. Upload again; the same request id may be used."""


class UploadFailed(FailedPrecondition):
    """The session was refused for good; `metadata["cause"]` holds the reason of the first refusal."""


class UploadAlreadyCommitted(FailedPrecondition):
    """The session is committing or committed and cannot be given up."""


class UploadIncomplete(FailedPrecondition):
    """The stream ended without its last message; what is durable stays."""


class InvalidStatusTransition(FailedPrecondition):
    """Processing status cannot change this way."""


class UploadSuperseded(LedgerLiftError):
    """A newer stream has taken the upload session over."""


class Cancelled(LedgerLiftError):
    """The caller cancelled it. What is durable of an upload stays, and the same request id goes on with it."""


class Conflict(LedgerLiftError):
    """Something with this identity is there already."""

    @property
    def document_id(self) -> str | None:
        """The document that is in the way, where the server names it."""
        if self.resource is not None and self.resource.type == "document":
            return self.resource.id
        return None


class DuplicateDocument(Conflict):
    """The owner has these bytes already, and the policy is REJECT."""


class KeyTaken(Conflict):
    """The natural key belongs to another document."""


class RequestIdReused(Conflict):
    """The same request id came with another spec."""


class TryLater(LedgerLiftError):
    """Nothing is wrong with the request; it may succeed after `retry_after` seconds."""


class Unavailable(TryLater):
    """The server cannot be reached, or cannot do this now."""


class NotConnected(Unavailable):
    """There is no connection to a server that serves, and grpc waits before it looks again: nothing was sent."""


class TlsFailed(NotConnected):
    """The server's certificate is not trusted or not of the target's name, or what answers does not speak TLS.

    Told at once where this client has never been answered: then it is the configuration of one of the two sides.
    """


class CircuitOpen(Unavailable):
    """A breaker is open: the server's of a dependency (reason CIRCUIT_OPEN), or this client's own, because nobody
    answered for a while and nothing was sent (reason CLIENT_CIRCUIT_OPEN, no code)."""


class DependencyUnavailable(Unavailable):
    """The server's database or object store failed or did not answer."""


class UploadCommitting(Unavailable):
    """The session is being published; its result will be there shortly."""


class UploadStalled(Unavailable):
    """The server waited too long for the next message."""


class UploadDeadline(Unavailable):
    """The call's deadline was near; what is durable stays."""


class Draining(Unavailable):
    """This server is shutting down; another will answer."""


class Overloaded(TryLater):
    """The server is out of memory budget, streams or rate."""


class ResourceExhausted(LedgerLiftError):
    """A bound that waiting does not lift: usually a message larger than the server takes (`message_size`)."""


class DeadlineExceeded(LedgerLiftError):
    """The deadline passed. Whether the call took effect is unknown."""


class DataLoss(LedgerLiftError):
    """Bytes are lost or damaged."""


class StoredObjectCorrupt(DataLoss):
    """The stored bytes are not those that were committed."""


class Unauthenticated(LedgerLiftError):
    """No or bad credentials."""


class PermissionDenied(LedgerLiftError):
    """The caller's roles do not allow this method."""


class Unimplemented(LedgerLiftError):
    """The target does not offer this method: an older server, or no LedgerLift at all."""


class ServerError(LedgerLiftError):
    """The server or something on the way failed without an explanation; its log knows `request_id`."""


class SourceError(LedgerLiftError):
    """What was to be uploaded cannot be read as needed."""


class SourceChanged(SourceError):
    """The source is not the one it was when the upload began: its size or modification time differs."""


class SourceNotRewindable(SourceError):
    """Bytes are needed again that this source can neither seek to nor has kept."""
