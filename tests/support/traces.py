"""Spans of a server and of clients in this process, kept in memory by the SDK's own exporter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ledgerlift_client.tracing import Tracing
from ledgerlift_server.observability.tracing.spans import OpenTelemetrySpans
from ledgerlift_server.tracing_setup import ServerTracing
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Traces:
    """What a server with `server` and clients with `client` did, once they have ended it."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = OpenTelemetrySpans(self.provider.get_tracer("tests"))
        self.server = ServerTracing(self.spans, self.spans)
        self.client = Tracing(self.provider)

    def all(self) -> Sequence[ReadableSpan]:
        """In the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of this name; `/Method` are the calls of a method, whichever side's."""
        return [span for span in self.all() if span.name == name or (name[0] == "/" and span.name.endswith(name))]

    def one(self, name: str) -> ReadableSpan:
        """The only one."""
        [found] = self.named(name)
        return found

    def below(self, parent: ReadableSpan | None) -> list[ReadableSpan]:
        """Its immediate parts; None: what is no part of anything."""
        wanted = None if parent is None else parent.context.span_id
        return [span for span in self.all() if (span.parent.span_id if span.parent else None) == wanted]

    def tree(self, parent: ReadableSpan | None = None, depth: int = 0) -> list[str]:
        """Names, indented by what they are a part of; spans of one parent by their names, as they overlap."""
        lines = []
        for span in sorted(self.below(parent), key=lambda span: (span.name, span.start_time)):
            lines += ["  " * depth + span.name, *self.tree(span, depth + 1)]
        return lines


@pytest.fixture
def traces() -> Traces:
    """Nothing yet."""
    return Traces()
