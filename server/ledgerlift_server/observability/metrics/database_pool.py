"""The connections to PostgreSQL. A SQLite database has no pool, and so no series."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledgerlift_server.resilience.pool_use import PoolUse


class PoolCollector(Collector):
    """Reads the pool at each scrape."""

    def __init__(self, status: Callable[[], PoolUse | None]) -> None:
        """`status` asks nobody outside of this process; None where there is no pool."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        in_use = GaugeMetricFamily("ledgerlift_database_pool_in_use_connections", "Connections in use.", labels=[])
        overflow = GaugeMetricFamily(
            "ledgerlift_database_pool_overflow_connections", "Connections open beyond DB_POOL_SIZE.", labels=[]
        )
        limit = GaugeMetricFamily(
            "ledgerlift_database_pool_limit_connections", "Connections that may be open at once.", labels=[]
        )
        pool = self._status()
        if pool is not None:
            in_use.add_metric([], pool.checked_out)
            overflow.add_metric([], pool.overflow)
            limit.add_metric([], pool.max_connections)
        yield from (in_use, overflow, limit)
