"""OpenTelemetry for the client: `LedgerLiftClient(target, tracing=Tracing())`, with `pip install '.[tracing]'`.

Only this module imports OpenTelemetry, and nothing of the client imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from ledgerlift_client import errors
from ledgerlift_client._spans import AttemptSpan, Headers

__all__ = ["Tracing"]


class Tracing:
    """A span for each operation, as a part of what your program follows, and one below it for each of its calls.

    The calls carry the trace on (W3C `traceparent`), so that a server that is traced adds its own spans. Watches and
    `download_chunks`, which last as long as you want, have spans of their calls only.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        """`tracer_provider` None: the global one, which the program sets."""
        self._tracer = trace.get_tracer("ledgerlift_client", tracer_provider=tracer_provider)

    @contextmanager
    def operation(self, name: str, request_id: str) -> Iterator[None]:
        """Called by the client."""
        with self._tracer.start_as_current_span(
            f"ledgerlift {name}",
            attributes={"ledgerlift.request_id": request_id},
            record_exception=False,  # its text may hold names of files
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                reason = error.reason if isinstance(error, errors.LedgerLiftError) else None
                span.set_attribute("error.type", reason or type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def attempt(self, method: str, request_id: str, number: int) -> AttemptSpan:
        """Called by the client."""
        name = method.lstrip("/")
        span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": name,
                "ledgerlift.request_id": request_id,
                "ledgerlift.attempt": number,
            },
        )
        return _Attempt(span)


class _Attempt:
    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        self.headers: Headers = tuple((key.lower(), value) for key, value in carrier.items())

    def ended(self, code: str) -> None:
        if not self._span.is_recording():  # not sampled, or ended
            return
        self._span.set_attribute("rpc.response.status_code", code)
        if code != "OK":
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", code)
        self._span.end()
