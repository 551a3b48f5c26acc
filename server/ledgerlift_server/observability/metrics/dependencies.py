"""Database and store as this process sees them: their breakers, their threads, and every call made to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.resilience.breaker import BreakerState, CircuitBreaker
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.resilience.call_statistics import CallStatistics, OperationSnapshot


class Observed(Protocol):
    """A dependency."""

    @property
    def name(self) -> str:
        """The value of the label `dependency`."""

    @property
    def breaker(self) -> CircuitBreaker:
        """What stands before it."""

    @property
    def bulkhead(self) -> Bulkhead:
        """The threads of its calls."""

    @property
    def statistics(self) -> CallStatistics:
        """What its calls took."""


class DependencyCollector(Collector):
    """Reads them at each scrape."""

    def __init__(self, dependencies: Iterable[Observed]) -> None:
        """`dependencies` are all there are; none is added later."""
        self._dependencies = tuple(dependencies)

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        yield from self._breakers()
        yield from self._bulkheads()
        yield from self._calls()

    def _breakers(self) -> Iterator[Metric]:
        seen = [one.breaker.snapshot() for one in self._dependencies]
        state = GaugeMetricFamily(
            "ledgerlift_breaker_state", "1 for the state that the breaker is in.", labels=["dependency", "state"]
        )
        for breaker in seen:
            for each in BreakerState:
                state.add_metric([breaker.name, each.value.lower()], breaker.state is each)
        yield state
        opened = _counter("ledgerlift_breaker_opened", "Times that the breaker has opened.")
        refused = _counter("ledgerlift_breaker_refused", "Calls that the breaker has refused.")
        failures = _gauge("ledgerlift_breaker_consecutive_failures", "Failures since the last success.")
        calls = _gauge("ledgerlift_breaker_window_calls", "Calls that the breaker's window counts, of the last 10 s.")
        failed = _gauge("ledgerlift_breaker_window_failed_calls", "Calls in the breaker's window that failed.")
        slow = _gauge("ledgerlift_breaker_window_slow_calls", "Calls in the breaker's window that were slow.")
        for breaker in seen:
            opened.add_metric([breaker.name], breaker.opened_count)
            refused.add_metric([breaker.name], breaker.refused_count)
            failures.add_metric([breaker.name], breaker.consecutive_failures)
            calls.add_metric([breaker.name], breaker.window_calls)
            failed.add_metric([breaker.name], breaker.window_failures)
            slow.add_metric([breaker.name], breaker.window_slow)
        yield from (opened, refused, failures, calls, failed, slow)

    def _bulkheads(self) -> Iterator[Metric]:
        running = _gauge(
            "ledgerlift_bulkhead_running_calls", "Calls on a thread, those that nobody waits for included."
        )
        waiting = _gauge("ledgerlift_bulkhead_waiting_calls", "Calls that wait for a thread.")
        threads = _gauge("ledgerlift_bulkhead_threads", "Threads there are at most.")
        for one in self._dependencies:
            running.add_metric([one.name], one.bulkhead.running)
            waiting.add_metric([one.name], one.bulkhead.waiting)
            threads.add_metric([one.name], one.bulkhead.size)
        yield from (running, waiting, threads)

    def _calls(self) -> Iterator[Metric]:
        labels = ["dependency", "operation"]
        durations = HistogramMetricFamily(
            "ledgerlift_dependency_call_duration_seconds", "Time that calls were on their thread.", labels=labels
        )
        failures = CounterMetricFamily(
            "ledgerlift_dependency_call_failures",
            "Calls that failed, or got no answer before their deadline.",
            labels=labels,
        )
        size = CounterMetricFamily(
            "ledgerlift_dependency_call_bytes", "Bytes that calls have carried.", labels=labels
        )
        for one in self._dependencies:
            for operation in one.statistics.snapshot():
                values = [one.name, operation.operation]
                durations.add_metric(values, _cumulative(operation), operation.total_seconds)
                failures.add_metric(values, operation.failures)
                if operation.size:  # most carry none, ever: theirs would be series that cannot move
                    size.add_metric(values, operation.size)
        yield from (durations, failures, size)


def _cumulative(operation: OperationSnapshot) -> Sequence[tuple[str, float]]:
    buckets, count = [], 0
    for upper, here in operation.buckets:
        count += here
        buckets.append(("+Inf" if upper is None else str(upper), float(count)))
    return buckets


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=["dependency"])


def _counter(name: str, meaning: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, meaning, labels=["dependency"])
