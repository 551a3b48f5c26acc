"""Calls as they begin and end: how many, how they ended, how long they took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets in seconds, up to the longest that one call of an upload may take by default."""


@dataclass(frozen=True, slots=True)
class _Method:
    """The label values of one method, and the series that need no more of them."""

    service: str
    name: str
    in_flight: Gauge
    durations: Histogram | None


class CallMetrics:
    """Is told of every call. A method that the server does not have never gets here, so labels are bounded."""

    def __init__(self, registry: CollectorRegistry, methods: Iterable[str], *, timed: bool) -> None:
        """`methods` (`/package.Service/Method`) are there from the start, with 0. `timed`: durations are kept too."""
        labels = ("service", "method")
        self._ended = Counter(
            "ledgerlift_rpc_calls_total",
            "Calls that have ended, by the gRPC code that the caller saw.",
            (*labels, "code"),
            registry=registry,
        )
        self._in_flight = Gauge(
            "ledgerlift_rpc_in_flight_calls", "Calls that are being handled.", labels, registry=registry
        )
        self._durations = (
            Histogram(
                "ledgerlift_rpc_duration_seconds",
                "Time from a call's beginning to its end.",
                labels,
                buckets=BOUNDS,
                registry=registry,
            )
            if timed
            else None
        )
        self._methods: dict[str, _Method] = {}
        for method in methods:
            known = self._known(method)
            self._ended.labels(known.service, known.name, "OK")

    def began(self, method: str) -> None:
        """A call is about to be handled."""
        self._known(method).in_flight.inc()

    def ended(self, method: str, code: str, seconds: float) -> None:
        """It has ended with `code`, the name of a gRPC status."""
        known = self._known(method)
        known.in_flight.dec()
        self._ended.labels(known.service, known.name, code).inc()
        if known.durations is not None:
            known.durations.observe(seconds)

    def _known(self, method: str) -> _Method:
        found = self._methods.get(method)
        if found is None:
            service, _, name = method.lstrip("/").partition("/")
            durations = None if self._durations is None else self._durations.labels(service, name)
            found = _Method(service, name, self._in_flight.labels(service, name), durations)
            self._methods[method] = found
        return found
