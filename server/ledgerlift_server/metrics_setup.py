"""Metrics put together: one registry, who is read into it, and where it is served."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from ledgerlift_server import __version__, background
from ledgerlift_server.adapters.s3 import S3Store
from ledgerlift_server.core import CannotStart, Core
from ledgerlift_server.domain.part_buffers import BufferBudget
from ledgerlift_server.domain.upload_entry import UploadEntry
from ledgerlift_server.domain.upload_service import UploadService
from ledgerlift_server.health.monitor import Monitor
from ledgerlift_server.interceptors.admission import Admission
from ledgerlift_server.observability.metrics.admission import AdmissionCollector
from ledgerlift_server.observability.metrics.calls import CallMetrics
from ledgerlift_server.observability.metrics.database_pool import PoolCollector
from ledgerlift_server.observability.metrics.dependencies import DependencyCollector
from ledgerlift_server.observability.metrics.disk import DiskCollector
from ledgerlift_server.observability.metrics.event_loop import EventLoopLag
from ledgerlift_server.observability.metrics.exposition import exposed
from ledgerlift_server.observability.metrics.janitor import JanitorCollector
from ledgerlift_server.observability.metrics.registry import new_registry
from ledgerlift_server.observability.metrics.retries import RetryCollector
from ledgerlift_server.observability.metrics.uploads import UploadCollector
from ledgerlift_server.resilience.retry import RetryBudget
from ledgerlift_server.settings import Settings, host_and_port

logger = logging.getLogger(__name__)


class ServerMetrics:
    """All metrics of one server. Nothing is served before `serve`."""

    def __init__(self, settings: Settings, core: Core, methods: Iterable[str]) -> None:
        """`methods` are those of the API, `/package.Service/Method`."""
        self.registry: CollectorRegistry = new_registry(__version__)
        self.calls = CallMetrics(self.registry, methods, timed=settings.enable_performance_monitoring)
        self._lag = EventLoopLag(self.registry) if settings.enable_performance_monitoring else None
        self.registry.register(DependencyCollector(core.dependencies.values()))
        self.registry.register(PoolCollector(core.database.pool_status))
        self.registry.register(JanitorCollector(core.janitor.totals))
        self._retries = {"database": core.database.retry_budget}
        if isinstance(core.store, S3Store):
            self._retries["storage"] = core.store.retry_budget
        self._upload_memory = int(settings.upload_memory_budget)
        self._commits = core.committer.tally
        self._keeps_files = settings.embedded_database or settings.s3_bucket is None

    def watch(
        self,
        admission: Admission,
        call_retries: RetryBudget,
        uploads: UploadService,
        entry: UploadEntry,
        budget: BufferBudget,
        monitor: Monitor,
    ) -> None:
        """Read these as well: what is built with the server, each once. `call_retries` is the retry interceptor's."""
        self.registry.register(DiskCollector(lambda: monitor.resources if self._keeps_files else None))
        self.registry.register(RetryCollector({"call": call_retries} | self._retries))
        self.registry.register(AdmissionCollector(admission.snapshot))
        self.registry.register(
            UploadCollector(entry, uploads.tally, self._commits, budget, budget_limit=self._upload_memory)
        )

    async def serve(self, address: str, stack: AsyncExitStack) -> str:
        """Serve until `stack` ends, and answer the address as bound. Raises CannotStart."""
        try:
            bound = await stack.enter_async_context(exposed(self.registry, *host_and_port(address)))
        except OSError as refused:
            reason = refused.strerror or refused
            raise CannotStart(f"METRICS_ADDRESS: cannot listen on {address}: {reason}") from refused
        logger.info("metrics_listening", extra={"address": bound})
        if self._lag is not None:
            await stack.enter_async_context(background.running("event_loop_lag", self._lag.run))
        return bound
