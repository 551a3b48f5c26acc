"""A request that is not a message of its method is the caller's mistake: INVALID_ARGUMENT.

Left to grpc, a deserializer that raises is UNKNOWN, with the exception's text for the caller and a
traceback in the log for each: that is how a fuzzer fills a disk. Streams of requests decode as they read
(`rpc/request_stream.py`).
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from ledgerlift_server.errors import FieldViolation, InvalidRequest
from ledgerlift_server.interceptors.wrap import Handler, HandlerInterceptor, behavior_of, rebuilt


class Decoding(HandlerInterceptor):
    """Decodes single requests inside of the other interceptors instead of outside."""

    def wrapped(self, handler: Handler, method: str) -> Handler:
        """See the module; streams of requests as they are."""
        if handler.request_streaming or handler.request_deserializer is None:
            return handler
        inner, decode = behavior_of(handler), handler.request_deserializer

        async def outer(raw: bytes, context: Any) -> Any:
            try:
                request = decode(raw)
            except DecodeError:
                raise InvalidRequest([FieldViolation("request", "is not a message of this method")]) from None
            return await inner(request, context)

        return rebuilt(handler, outer, None)
