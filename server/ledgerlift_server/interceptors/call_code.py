"""The code that a caller sees, by how the call ended."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc


def code_of(context: Any, failure: BaseException | None) -> str:
    """The name of the gRPC status, as far as it can be told from outside of the error mapping."""
    if failure is None or isinstance(failure, grpc.aio.AbortError):
        code = context.code()
        return code.name if isinstance(code, grpc.StatusCode) else "OK"
    if isinstance(failure, (asyncio.CancelledError, grpc.aio.InternalError)):
        # grpc cancels the call, or refuses to write, when its client has left or its client's deadline has passed.
        return "DEADLINE_EXCEEDED" if context.time_remaining() == 0 else "CANCELLED"
    return "UNKNOWN"
