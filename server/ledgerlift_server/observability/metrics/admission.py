"""The slots of calls, by kind: in use, there at all, and how often none was free."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.resilience.slots import SlotsSnapshot


class AdmissionCollector(Collector):
    """Reads the slots at each scrape."""

    def __init__(self, snapshot: Callable[[], Sequence[SlotsSnapshot]]) -> None:
        """`snapshot` is safe on any thread."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        in_use = GaugeMetricFamily("ledgerlift_admission_in_use_slots", "Slots that calls hold.", labels=["kind"])
        limit = GaugeMetricFamily("ledgerlift_admission_limit_slots", "Slots there are.", labels=["kind"])
        refused = CounterMetricFamily(
            "ledgerlift_admission_refused", "Calls refused because no slot was free.", labels=["kind"]
        )
        for slots in self._snapshot():
            in_use.add_metric([slots.name], slots.in_use)
            limit.add_metric([slots.name], slots.limit)
            refused.add_metric([slots.name], slots.refused)
        yield from (in_use, limit, refused)
