"""Tracing put together, or nothing at all: without TRACING_ENABLED no module of OpenTelemetry is imported."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ledgerlift_server import __version__
from ledgerlift_server.domain.spans import NO_SPANS, Spans
from ledgerlift_server.interceptors.tracing import CallSpans
from ledgerlift_server.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerTracing:
    """Who follows the calls of one server (None: nobody), and the steps that they take."""

    calls: CallSpans | None = None
    steps: Spans = NO_SPANS


def tracing_of(settings: Settings, stack: AsyncExitStack) -> ServerTracing:
    """As the settings say. What is still to be sent is sent when `stack` ends."""
    if not settings.tracing_enabled:
        return ServerTracing()
    from ledgerlift_server.observability.tracing.provider import close, new_provider
    from ledgerlift_server.observability.tracing.spans import OpenTelemetrySpans

    exporter, protocol = settings.otel_traces_exporter, settings.otel_exporter_otlp_protocol
    provider = new_provider(__version__, exporter, protocol)
    stack.push_async_callback(asyncio.to_thread, close, provider)
    spans = OpenTelemetrySpans(provider.get_tracer("ledgerlift_server", __version__))
    logger.info("tracing", extra={"exporter": exporter, "protocol": protocol})
    return ServerTracing(spans, spans)
