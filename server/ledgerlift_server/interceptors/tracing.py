"""Every call is a part of what its caller follows, and its trace's id stands in every log entry made for it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ledgerlift_server.interceptors.call_end import told
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.request_id import current_request_id
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.observability import logs


class ServedCall(Protocol):
    """A call that is being followed."""

    @property
    def trace_id(self) -> str:
        """What all of its trace has in common, over all processes."""

    def ended(self, code: str) -> None:
        """With the gRPC status of that name."""


class CallSpans(Protocol):
    """Follows calls: `observability/tracing`."""

    def serving(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]], request_id: str
    ) -> AbstractContextManager[ServedCall]:
        """The call of `method` for as long as the block lasts; `metadata` says whose part it is."""


class Tracing(CallInterceptor):
    """Tells `CallSpans`. Probes (methods without a policy) are not followed: they would be most of what there is."""

    def __init__(self, policies: Policies, spans: CallSpans) -> None:
        """`policies` name the methods of the API."""
        self._policies = policies
        self._spans = spans

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Follow the call, and change nothing."""
        if call.method not in self._policies:
            return await proceed()
        metadata = call.context.invocation_metadata() or ()
        with self._spans.serving(call.method, metadata, current_request_id.get()) as served:
            logs.bind(trace_id=served.trace_id)
            return await told(call, proceed, served.ended)
