"""How full the disk of DATA_DIR is, as health last measured it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.health.resources import SystemResources


class DiskCollector(Collector):
    """Reads the last measurement at each scrape; a disk that hangs holds up no scrape."""

    def __init__(self, measured: Callable[[], SystemResources | None]) -> None:
        """None: there is no measurement, or nothing is kept on the disk."""
        self._measured = measured

    def collect(self) -> Iterator[Metric]:
        """The metric as it was measured last."""
        used = GaugeMetricFamily(
            "ledgerlift_data_dir_used_ratio", "Share of the disk of DATA_DIR that is in use, 0 to 1.", labels=[]
        )
        resources = self._measured()
        if resources is not None:
            used.add_metric([], resources.disk_percent / 100)
        yield used
