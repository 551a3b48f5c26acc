"""Where spans go: a provider of the SDK, which reads the standard OTEL_ variables (sampler, limits) itself."""

from __future__ import annotations

import sys
import threading

from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

DEFAULT_SERVICE_NAME = "ledgerlift-server"
"""Where neither OTEL_SERVICE_NAME nor OTEL_RESOURCE_ATTRIBUTES names it."""
FLUSH_PATIENCE = 5.0
"""Seconds that the last spans get to be sent. The SDK's own patience is 30, longer than what stops us may wait."""


def new_provider(version: str, exporter: str, protocol: str) -> TracerProvider:
    """A provider whose spans are sent from a thread of its own. `exporter` and `protocol` as in the settings."""
    ours = {SERVICE_NAME: DEFAULT_SERVICE_NAME, SERVICE_VERSION: version}
    told = OTELResourceDetector().detect().attributes
    resource = Resource.create({name: value for name, value in ours.items() if name not in told})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # whoever made it closes it
    made = _exporter(exporter, protocol)
    if made is not None:
        provider.add_span_processor(BatchSpanProcessor(made))
    return provider


def close(provider: TracerProvider) -> None:
    """Send what is still there. Blocks for `FLUSH_PATIENCE` at the most: a collector may be away."""
    closing = threading.Thread(target=provider.shutdown, name="tracing-close", daemon=True)
    closing.start()
    closing.join(FLUSH_PATIENCE)


def _exporter(exporter: str, protocol: str) -> SpanExporter | None:
    """Only what is needed is imported: each brings a client of its own."""
    match exporter, protocol:
        case "otlp", "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

            return OverGrpc()
        case "otlp", _:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

            return OverHttp()
        case "console", _:
            return ConsoleSpanExporter(out=sys.stderr)
    return None
