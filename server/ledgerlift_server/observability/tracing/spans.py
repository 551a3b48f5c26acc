"""Spans of calls, of their steps, and of what the server does of itself; docs/tracing.md names each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from ledgerlift_server.errors import LedgerLiftError

SERVER_FAULTS = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"},
)
"""Codes that mark the span of a call as failed; all others are a server's right answer to a wrong request
(https://opentelemetry.io/docs/specs/semconv/rpc/grpc/)."""

_NOTHING = nullcontext()


class ServedCall:
    """A call that is being served."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def ended(self, code: str) -> None:
        """With the gRPC status of that name."""
        self._span.set_attribute("rpc.response.status_code", code)
        if code in SERVER_FAULTS:
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", code)


class OpenTelemetrySpans:
    """What interceptors (`CallSpans`) and domain (`Spans`) tell, as spans of one tracer."""

    def __init__(self, tracer: Tracer) -> None:
        """Not OpenTelemetry's global one: several servers in one process, as in tests, keep theirs apart."""
        self._tracer = tracer

    @contextmanager
    def serving(
        self, method: str, metadata: Iterable[tuple[str, str | bytes]], request_id: str
    ) -> Iterator[ServedCall]:
        """The call of `method` (`/package.Service/Method`), as a part of what its caller follows (`traceparent`)."""
        name = method.lstrip("/")
        span = self._tracer.start_span(
            name,
            context=propagate.extract({key: value for key, value in metadata if isinstance(value, str)}),
            kind=SpanKind.SERVER,
            attributes={"rpc.system.name": "grpc", "rpc.method": name, "ledgerlift.request_id": request_id},
        )
        with _current(span):
            yield ServedCall(span)

    def step(self, name: str, /, *, outside: bool = False, **facts: str | int) -> AbstractContextManager[object]:
        """See `Spans`."""
        if not trace.get_current_span().get_span_context().is_valid:
            return _NOTHING
        return self._followed(name, SpanKind.CLIENT if outside else SpanKind.INTERNAL, facts)

    def work(self, name: str, /, **facts: str | int) -> AbstractContextManager[object]:
        """See `Spans`."""
        return self._followed(name, SpanKind.INTERNAL, facts)

    @contextmanager
    def _followed(self, name: str, kind: SpanKind, facts: dict[str, str | int]) -> Iterator[None]:
        attributes = {f"ledgerlift.{fact}": value for fact, value in facts.items()}
        span = self._tracer.start_span(name, kind=kind, attributes=attributes)
        with _current(span):
            try:
                yield
            except BaseException as error:  # a cancellation too, which the SDK's own context manager does not see
                # Not its text: that may hold what callers said, and goes to them or to the log.
                reason = error.reason if isinstance(error, LedgerLiftError) else type(error).__name__
                span.set_attribute("error.type", reason)
                span.set_status(Status(StatusCode.ERROR))
                raise


@contextmanager
def _current(span: Span) -> Iterator[None]:
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        context.detach(token)
        span.end()
