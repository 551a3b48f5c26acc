"""A name for every call: in the log, in what it records, in its errors, and back to the caller as a trailer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.observability import logs
from ledgerlift_server.rpc.status import REQUEST_ID_TRAILER

REQUEST_ID_HEADER = "x-request-id"
MAX_REQUEST_ID_CHARACTERS = 128

current_request_id: ContextVar[str] = ContextVar("current_request_id")
"""LookupError where no call is being served."""


class RequestIds(CallInterceptor):
    """Takes the caller's id where it brings a usable one, and makes one where it does not."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        """`new_id` makes UUIDv7 strings."""
        self._new_id = new_id

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Bind the id to everything that is done for the call."""
        request_id = _given(call.context.invocation_metadata() or ()) or self._new_id()
        current_request_id.set(request_id)
        logs.bind(request_id=request_id, method=call.method.lstrip("/"))
        # For a call that ends well. An error brings its own trailers: see `rpc/status.py`.
        call.context.set_trailing_metadata(((REQUEST_ID_TRAILER, request_id),))
        return await proceed()


def _given(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The caller's id, if it has 1 to 128 visible ASCII characters: it goes into logs, headers and records."""
    for name, value in metadata:
        if name == REQUEST_ID_HEADER and isinstance(value, str):
            usable = 0 < len(value) <= MAX_REQUEST_ID_CHARACTERS and all("!" <= c <= "~" for c in value)
            return value if usable else None
    return None
