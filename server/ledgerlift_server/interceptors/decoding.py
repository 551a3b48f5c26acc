"""A request that is not a message of its method is the caller's mistake: INVALID_ARGUMENT.

Left to grpc, a deserializer that raises is UNKNOWN, with the exception's text for the caller and a
traceback in the log for each: that is how a fuzzer fills a disk. Streams of requests decode as they read
(`rpc/request_stream.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ledgerlift_server.errors import FieldViolation, InvalidRequest
from ledgerlift_server.interceptors.wrap import Handler, behavior_of, rebuilt


class Decoding(grpc.aio.ServerInterceptor):
    """Decodes single requests inside of the other interceptors instead of outside."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Called by grpc."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.request_deserializer is None:
            return handler
        inner, decode = behavior_of(handler), handler.request_deserializer

        async def outer(raw: bytes, context: Any) -> Any:
            try:
                request = decode(raw)
            except DecodeError:
                raise InvalidRequest([FieldViolation("request", "is not a message of this method")]) from None
            return await inner(request, context)

        return rebuilt(handler, outer, None)
