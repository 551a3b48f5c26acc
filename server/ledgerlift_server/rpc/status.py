"""The one table from exceptions to gRPC codes, and the `google.rpc.Status` that tells a caller what to do next.

    error ─> code (table below)
          ─> details: ErrorInfo, RetryInfo?, RequestInfo, ResourceInfo?, BadRequest?   (AIP-193), under 4 KiB
          ─> trailers: grpc-status-details-bin, grpc-retry-pushback-ms?, x-request-id

What is not in the tree of `errors.py` is a defect: its text never leaves the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ledgerlift_server import errors

CODES: Mapping[type[errors.LedgerLiftError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ContentError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.OffsetGap: grpc.StatusCode.OUT_OF_RANGE,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UploadSuperseded: grpc.StatusCode.ABORTED,
    errors.Conflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.TryLater: grpc.StatusCode.UNAVAILABLE,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.StoredObjectCorrupt: grpc.StatusCode.DATA_LOSS,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
}
"""A class stands for its subclasses too; the nearest entry counts."""

DOMAIN = "ledgerlift"
DEFECT_MESSAGE = "internal error; give the request id to the operators of this service"

DETAILS_TRAILER = "grpc-status-details-bin"
PUSHBACK_TRAILER = "grpc-retry-pushback-ms"
REQUEST_ID_TRAILER = "x-request-id"

MAX_STATUS_BYTES = 4095
"""Largest serialized Status. Details of over 8 KB reach the client as RESOURCE_EXHAUSTED (gRPC's bound on
metadata, base64 and the percent-encoded message included)."""
MAX_VIOLATIONS = 20
MAX_RETRY_SECONDS = 3600.0

# Bytes of UTF-8 of each text. Together with the most that BadRequest is given, they stay below MAX_STATUS_BYTES.
_MESSAGE_BYTES = 512
_REASON_BYTES = 63  # AIP-193
_METADATA_KEY_BYTES = 64
_METADATA_VALUE_BYTES = 512
_METADATA_BYTES = 1024  # of all entries together
_RESOURCE_TYPE_BYTES = 64
_RESOURCE_ID_BYTES = 256
_REQUEST_ID_BYTES = 128
_FIELD_BYTES = 96
_DESCRIPTION_BYTES = 256
_ENVELOPE_BYTES = 72  # type URL, tags and lengths that an Any adds to its message


@dataclass(frozen=True, slots=True)
class RpcStatus(grpc.Status):
    """What `context.abort_with_status` sends. The trailers are in it, for under aio it drops all others."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def code_of(error: BaseException) -> grpc.StatusCode:
    """The code that `error` becomes; INTERNAL for what the table does not know."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return grpc.StatusCode.INTERNAL


def status_of(error: BaseException, request_id: str) -> RpcStatus:
    """The whole answer to `error`: code, message, details and trailers."""
    told = _told(error)
    rich = _rich_status(told, request_id)
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_TRAILER, rich.SerializeToString())]
    if told.retry_after is not None:
        trailers.append((PUSHBACK_TRAILER, str(_milliseconds(told.retry_after))))
    if request_id:
        trailers.append((REQUEST_ID_TRAILER, _header_text(request_id)))
    return RpcStatus(code_of(told), rich.message, tuple(trailers))


def _told(error: BaseException) -> errors.LedgerLiftError:
    """`error` itself if callers may be told of it, or else what they are told in its place."""
    if isinstance(error, errors.LedgerLiftError) and code_of(error) is not grpc.StatusCode.INTERNAL:
        return error
    return errors.LedgerLiftError(DEFECT_MESSAGE)


def _rich_status(error: errors.LedgerLiftError, request_id: str) -> Status:
    status = Status(code=code_of(error).value[0], message=_cut(error.message, _MESSAGE_BYTES) or error.reason)
    facts = dict(error.metadata)
    if isinstance(error, errors.InvalidRequest):
        facts = {"violation_count": str(len(error.violations))} | facts
    reason = _cut(error.reason, _REASON_BYTES)
    _add(status, ErrorInfo(reason=reason, domain=DOMAIN, metadata=_fitting(facts)))
    if error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(_milliseconds(error.retry_after))
        _add(status, retry)
    if request_id:
        _add(status, RequestInfo(request_id=_header_text(request_id)))
    if error.resource is not None:
        kind = _cut(error.resource.type, _RESOURCE_TYPE_BYTES)
        _add(status, ResourceInfo(resource_type=kind, resource_name=_cut(error.resource.id, _RESOURCE_ID_BYTES)))
    if isinstance(error, errors.InvalidRequest):
        room = MAX_STATUS_BYTES - status.ByteSize() - _ENVELOPE_BYTES
        _add(status, _bad_request(error.violations[:MAX_VIOLATIONS], room))
    return status


def _bad_request(violations: Iterable[errors.FieldViolation], room: int) -> BadRequest:
    """As many of the violations, from the first, as fit into `room` bytes."""
    request = BadRequest()
    for violation in violations:
        entry = BadRequest.FieldViolation(
            field=_cut(violation.field, _FIELD_BYTES), description=_cut(violation.description, _DESCRIPTION_BYTES)
        )
        room -= entry.ByteSize() + 3  # tag and length
        if room < 0:
            break
        request.field_violations.append(entry)
    return request


def _fitting(facts: Mapping[str, str]) -> dict[str, str]:
    """The entries that fit, each cut to its own bound; earlier ones go first."""
    fitting: dict[str, str] = {}
    room = _METADATA_BYTES
    for name, value in facts.items():
        short_name, short_value = _cut(name, _METADATA_KEY_BYTES), _cut(value, _METADATA_VALUE_BYTES)
        cost = len(short_name.encode()) + len(short_value.encode()) + 9  # tags and lengths
        if cost <= room:
            room -= cost
            fitting[short_name] = short_value
    return fitting


def _add(status: Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def _cut(text: str, most: int) -> str:
    """`text` in at most `most` bytes of UTF-8, with an ellipsis where it was cut."""
    raw = text[: most + 1].encode("utf-8", "replace")  # lone surrogates cannot be sent
    if len(raw) <= most:
        return raw.decode()
    return raw[: most - 3].decode("utf-8", "ignore") + "..."


def _header_text(text: str) -> str:
    """`text` as a header may carry it: printable ASCII."""
    return "".join(c if " " < c <= "~" else "?" for c in text[:_REQUEST_ID_BYTES])


def _milliseconds(retry_after: float) -> int:
    seconds = min(retry_after, MAX_RETRY_SECONDS) if retry_after > 0 else 0.0  # also for NaN
    return math.ceil(seconds * 1000)
