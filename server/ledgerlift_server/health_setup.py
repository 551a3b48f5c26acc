"""Health put together: what is looked after, by which monitor, and what tells of it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ledgerlift_server import __version__
from ledgerlift_server.adapters.s3 import S3Store
from ledgerlift_server.adapters.sql import SchemaWatch, SqlMaintenance
from ledgerlift_server.core import Core
from ledgerlift_server.health.board import DATABASE, STORAGE, HealthBoard
from ledgerlift_server.health.component import Component
from ledgerlift_server.health.monitor import Monitor, MonitorOptions, Watched
from ledgerlift_server.health.operations import Operations, StorageStats
from ledgerlift_server.health.resources import MachineResources, Thresholds
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Health:
    """The parts that others work with."""

    board: HealthBoard
    monitor: Monitor
    operations: Operations


def build_health(settings: Settings, core: Core, services: Collection[str], stack: AsyncExitStack) -> Health:
    """Nothing is looked at yet. What it works with ends with `stack`."""
    board = HealthBoard(services, settings.readiness_checks)
    database, storage = Component(DATABASE), Component(STORAGE)
    machine, threads = MachineResources(settings.data_dir), Bulkhead("system", 1, max_wait=0.0)
    stack.callback(threads.close)
    schema = SchemaWatch(core.database)
    monitor = Monitor(
        board,
        [
            Watched(database, schema.check, core.database.dependency.breaker),
            Watched(storage, core.store.ping, core.store.dependency.breaker),
        ],
        measure=lambda: threads.run(machine.measure),
        count=SqlMaintenance(core.database).count_documents,
        options=MonitorOptions(
            interval=settings.health_cache_ttl,
            check_timeout=settings.health_check_timeout,
            thresholds=Thresholds(
                settings.high_cpu_percent, settings.high_memory_percent, settings.high_disk_percent
            ),
        ),
    )

    def storage_stats() -> StorageStats:
        age = core.store.client_age if isinstance(core.store, S3Store) else None
        return StorageStats(core.store.backend, core.store.dependency.statistics.snapshot(), age)

    operations = Operations(
        monitor,
        database,
        storage,
        core.breakers.values(),
        pool=core.database.pool_status,
        schema=lambda: schema.state,
        storage_stats=storage_stats,
        version=__version__,
    )
    return Health(board, monitor, operations)
