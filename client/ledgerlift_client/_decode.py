"""From a gRPC status to one of `errors.py`. Does no I/O: takes the code, the text and the trailing metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ledgerlift_client import errors
from ledgerlift_client._connection_words import explained

DOMAIN = "ledgerlift"
"""`ErrorInfo.domain` of what LedgerLift itself answers; anything else was made on the way, or by grpc."""

DETAILS_TRAILER = "grpc-status-details-bin"
PUSHBACK_TRAILER = "grpc-retry-pushback-ms"
"""Milliseconds to wait before trying again; negative or unreadable means: do not (gRFC A6)."""

BY_REASON: Mapping[str, type[errors.LedgerLiftError]] = {
    "INVALID_FIELD": errors.InvalidArgument,
    "CHECKSUM_MISMATCH": errors.ChecksumMismatch,
    "SIZE_MISMATCH": errors.SizeMismatch,
    "CONTENT_TYPE_MISMATCH": errors.ContentTypeMismatch,
    "DOCUMENT_TOO_LARGE": errors.DocumentTooLarge,
    "OFFSET_GAP": errors.OffsetGap,
    "DOCUMENT_NOT_FOUND": errors.DocumentNotFound,
    "UPLOAD_NOT_FOUND": errors.UploadNotFound,
    "UPLOAD_EXPIRED": errors.UploadExpired,
    "UPLOAD_CANCELLED": errors.UploadCancelled,
    "UPLOAD_FAILED": errors.UploadFailed,
    "UPLOAD_ALREADY_COMMITTED": errors.UploadAlreadyCommitted,
    "UPLOAD_INCOMPLETE": errors.UploadIncomplete,
    "INVALID_STATUS_TRANSITION": errors.InvalidStatusTransition,
    "UPLOAD_SUPERSEDED": errors.UploadSuperseded,
    "DUPLICATE_DOCUMENT": errors.DuplicateDocument,
    "KEY_TAKEN": errors.KeyTaken,
    "REQUEST_ID_REUSED": errors.RequestIdReused,
    "CIRCUIT_OPEN": errors.CircuitOpen,
    "DEPENDENCY_UNAVAILABLE": errors.DependencyUnavailable,
    "UPLOAD_COMMITTING": errors.UploadCommitting,
    "UPLOAD_STALLED": errors.UploadStalled,
    "UPLOAD_DEADLINE": errors.UploadDeadline,
    "DRAINING": errors.Draining,
    "OVERLOADED": errors.Overloaded,
    "DEADLINE_EXCEEDED": errors.DeadlineExceeded,
    "STORED_OBJECT_CORRUPT": errors.StoredObjectCorrupt,
    "UNAUTHENTICATED": errors.Unauthenticated,
    "PERMISSION_DENIED": errors.PermissionDenied,
}
"""For reasons of a newer server that are not here, the code decides."""

BY_CODE: Mapping[grpc.StatusCode, type[errors.LedgerLiftError]] = {
    grpc.StatusCode.CANCELLED: errors.Unavailable,  # see `_NOT_TAKEN`
    grpc.StatusCode.UNKNOWN: errors.ServerError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgument,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.Conflict,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhausted,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.ABORTED: errors.LedgerLiftError,
    grpc.StatusCode.OUT_OF_RANGE: errors.OffsetGap,
    grpc.StatusCode.UNIMPLEMENTED: errors.Unimplemented,
    grpc.StatusCode.INTERNAL: errors.ServerError,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DATA_LOSS: errors.DataLoss,
    grpc.StatusCode.UNAUTHENTICATED: errors.Unauthenticated,
}

_PREAMBLE = re.compile(
    r"\A(connections to all backends failing|failed to connect to all addresses); last error: (UNKNOWN: )?"
)
"""What grpc says before the address and the cause where there is nobody to send the call to. Nothing else tells."""

_NOT_TAKEN = "CANCELLED"
"""The text, too, of the CANCELLED that grpc answers, where a server stops, to calls that have reached it and that no
handler has taken yet, though nobody cancelled them (https://github.com/grpc/grpc/issues/41785)."""

_MADE_ON_THE_WAY = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
}
_MAY_PASS = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


class _Details:
    """The standard details of a status, each kind at most once."""

    def __init__(self, packed: bytes | None) -> None:
        self.info = error_details_pb2.ErrorInfo()
        self.retry: error_details_pb2.RetryInfo | None = None
        self.request = error_details_pb2.RequestInfo()
        self.resource: errors.Resource | None = None
        self.violations: list[errors.FieldViolation] = []
        if packed is None:
            return
        status = status_pb2.Status()
        try:
            status.ParseFromString(packed)
        except DecodeError:
            return  # a broken trailer must not hide the code and the text
        for detail in status.details:
            match detail.TypeName():
                case "google.rpc.ErrorInfo":
                    detail.Unpack(self.info)
                case "google.rpc.RetryInfo":
                    self.retry = error_details_pb2.RetryInfo()
                    detail.Unpack(self.retry)
                case "google.rpc.RequestInfo":
                    detail.Unpack(self.request)
                case "google.rpc.BadRequest":
                    bad = error_details_pb2.BadRequest()
                    detail.Unpack(bad)
                    self.violations += [errors.FieldViolation(v.field, v.description) for v in bad.field_violations]
                case "google.rpc.ResourceInfo":
                    found = error_details_pb2.ResourceInfo()
                    detail.Unpack(found)
                    self.resource = errors.Resource(found.resource_type, found.resource_name)


def decode(
    code: grpc.StatusCode,
    text: str,
    trailers: Iterable[tuple[str, str | bytes]],
    *,
    request_id: str = "",
) -> errors.LedgerLiftError:
    """The error for a status. `request_id` is the one that was sent; the server's answer may name its own."""
    last = dict(trailers)
    packed = last.get(DETAILS_TRAILER)
    details = _Details(packed if isinstance(packed, bytes) else None)
    reason = details.info.reason if details.info.domain == DOMAIN else ""
    retry_after = details.retry.retry_delay.ToTimedelta().total_seconds() if details.retry is not None else None
    pushback, forbidden = _pushback(last.get(PUSHBACK_TRAILER))
    if pushback is not None:
        retry_after = max(retry_after or 0.0, pushback)
    kind = BY_REASON.get(reason) or BY_CODE.get(code, errors.ServerError)
    if kind is errors.ResourceExhausted and retry_after is not None:
        kind = errors.Overloaded
    if code is grpc.StatusCode.CANCELLED and text == _NOT_TAKEN:
        text = "the server stopped before it took the call"
    text, unsent = _PREAMBLE.subn("", text, count=1)
    if unsent and kind is errors.Unavailable:
        text, by_tls = explained(text)
        kind = errors.TlsFailed if by_tls else errors.NotConnected
    passes = code in _MAY_PASS or (code in _MADE_ON_THE_WAY and not reason) or issubclass(kind, errors.TryLater)
    return kind(
        text or f"the call ended with {code.name}",
        code=code,
        reason=reason,
        request_id=details.request.request_id or request_id,
        metadata=details.info.metadata,
        retryable=passes and not forbidden,
        retry_after=None if forbidden else retry_after,
        violations=details.violations,
        resource=details.resource,
    )


def failure(error: grpc.RpcError | grpc.FutureCancelledError, request_id: str) -> errors.LedgerLiftError:
    """The LedgerLiftError for what grpc raised."""
    if isinstance(error, grpc.FutureCancelledError):
        return decode(grpc.StatusCode.CANCELLED, "the call was cancelled on this side", (), request_id=request_id)
    call = cast(grpc.Call, error)
    return decode(call.code(), call.details() or "", call.trailing_metadata() or (), request_id=request_id)


def _pushback(value: str | bytes | None) -> tuple[float | None, bool]:
    """`(seconds, retrying is forbidden)`."""
    if value is None:
        return None, False
    try:
        milliseconds = int(value)
    except ValueError:
        return None, True
    return (None, True) if milliseconds < 0 else (milliseconds / 1000, False)
