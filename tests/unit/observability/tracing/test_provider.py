"""Where spans go, by the settings and by the variables that OpenTelemetry reads itself."""

from __future__ import annotations

import socket
import threading

import pytest
from ledgerlift_server.observability.tracing import provider as provider_module
from ledgerlift_server.observability.tracing.provider import close, new_provider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF


def _sampled(provider: TracerProvider) -> bool:
    with provider.get_tracer("tests").start_as_current_span("one") as span:
        return span.is_recording()


def test_it_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and our version, unless whoever deploys it says another."""
    attributes = new_provider("1.2.3", "none", "grpc").resource.attributes
    assert (attributes["service.name"], attributes["service.version"]) == ("ledgerlift-server", "1.2.3")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "documents")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=blue,service.version=mine")
    attributes = new_provider("1.2.3", "none", "grpc").resource.attributes
    assert (attributes["service.name"], attributes["service.version"]) == ("documents", "mine")
    assert attributes["deployment.environment"] == "blue"


def test_the_standard_variables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler, and the switch for all of OpenTelemetry."""
    assert _sampled(new_provider("1", "none", "grpc"))
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    made = new_provider("1", "none", "grpc")
    assert made.sampler is ALWAYS_OFF
    assert not _sampled(made)
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not _sampled(new_provider("1", "none", "grpc"))


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_away_holds_nobody_up(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """The end waits for it as long as it is said to, and not for the SDK's half minute."""
    monkeypatch.setattr(provider_module, "FLUSH_PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and never says a word
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        made = new_provider("1", "otlp", protocol)
        assert _sampled(made)
        close(made)
        [closing] = [thread for thread in threading.enumerate() if thread.name == "tracing-close"]
        closing.join()  # so that nothing of it is left to the tests behind this one
