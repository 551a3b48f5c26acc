"""What a refused caller is told, taken apart, and held against what all refusals have in common."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

DETAILS = "grpc-status-details-bin"
PUSHBACK = "grpc-retry-pushback-ms"
REQUEST_ID = "x-request-id"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`reason` is empty where the answer is not one of ours. `retry_after` in seconds is None where there is none.

    `violations` are descriptions by field, in order; `resource` is `(type, id)`.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    facts: Mapping[str, str]
    retry_after: float | None
    violations: Mapping[str, str]
    resource: tuple[str, str] | None

    @property
    def kind(self) -> tuple[grpc.StatusCode, str]:
        """Code and reason: a row of the error table."""
        return self.code, self.reason


def refusal_of(error: grpc.aio.AioRpcError, request_id: str) -> Refusal:
    """`error` taken apart. Fails where it is not as every refusal has to be. `request_id` was sent."""
    trailers = dict(error.trailing_metadata() or ())
    packed = trailers.get(DETAILS)
    if packed is None:
        return Refusal(error.code(), error.details() or "", "", {}, None, {}, None)
    assert isinstance(packed, bytes)
    status = Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    assert len(packed) < 4096
    info = _detail(status, ErrorInfo)
    assert info is not None
    assert info.domain == "ledgerlift"
    told = _detail(status, RequestInfo)
    assert told is not None
    assert told.request_id == trailers[REQUEST_ID] == request_id
    retry = _detail(status, RetryInfo)
    retry_after = None if retry is None else retry.retry_delay.ToTimedelta().total_seconds()
    assert trailers.get(PUSHBACK) == (None if retry_after is None else f"{retry_after * 1000:.0f}")
    wrong = _detail(status, BadRequest)
    resource = _detail(status, ResourceInfo)
    return Refusal(
        error.code(),
        error.details() or "",
        info.reason,
        dict(info.metadata),
        retry_after,
        {one.field: one.description for one in wrong.field_violations} if wrong is not None else {},
        (resource.resource_type, resource.resource_name) if resource is not None else None,
    )


async def outcome(
    method: Any,
    request: Any,
    *,
    metadata: Sequence[tuple[str, str]] = (),
    timeout: float = 60,  # noqa: ASYNC109 - the deadline that goes over the wire
    seen: list[Any] | None = None,
) -> Any:
    """Call `method`, of any shape, with a request id of its own: its answer, or all of them, or the Refusal.

    `seen` takes what comes of a stream of answers before it is refused.
    """
    request_id = f"call-{uuid.uuid4().hex}"
    call = method(request, timeout=timeout, metadata=(*metadata, (REQUEST_ID, request_id)))
    answers: list[Any] = [] if seen is None else seen
    try:
        if hasattr(call, "__await__"):
            return await call
        async for answer in call:
            answers.append(answer)
        return answers
    except grpc.aio.AioRpcError as error:
        return refusal_of(error, request_id)


async def refused(method: Any, request: Any, **options: Any) -> Refusal:
    """What a call is refused with, options as for `outcome`. Fails where it is not refused."""
    answer = await outcome(method, request, **options)
    assert isinstance(answer, Refusal), f"not refused, but answered {answer}"
    return answer


def _detail(status: Status, kind: type[M]) -> M | None:
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None
