"""`ObjectStore` on a bucket, and its life in a process."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.clients import Clients
from ledgerlift_server.adapters.s3.integrity import Integrity
from ledgerlift_server.adapters.s3.multiparts import S3Multiparts
from ledgerlift_server.adapters.s3.objects import S3Objects
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.adapters.s3.probe import Probe, StoreReport
from ledgerlift_server.adapters.store_on_threads import StoreOnThreads
from ledgerlift_server.resilience.deadline import Clock

logger = logging.getLogger(__name__)


class S3Store(StoreOnThreads):
    """Objects in one bucket."""

    def __init__(self, options: S3Options, dependency: Dependency, *, clock: Clock = time.monotonic) -> None:
        """Connects to nothing yet. The bulkhead of `dependency` has at most `max_connections` threads."""
        self._clients = Clients(options, clock=clock)
        self._integrity = Integrity()
        calls = Calls(self._clients, options)
        self.retry_budget = calls.budget
        self._bucket = S3Objects(calls, options, self._integrity)
        self._probe = Probe(calls, options)
        super().__init__("s3", self._bucket, S3Multiparts(calls, options, self._integrity), dependency)

    @property
    def client_age(self) -> float | None:
        """Seconds since the client was made; None before the first call."""
        return self._clients.age

    async def start(self) -> StoreReport:
        """Find out what the store honours, and use that. To be called once, before anything else.

        Raises DependencyUnavailable, with what to do about it, where the bucket cannot be used.
        """
        report = await self.dependency.check("probe", self._probe.run)
        if report.checks != "none":
            self._integrity.means = report.checks
        logger.info("store_probed", extra=asdict(report))
        for problem in report.problems:
            logger.warning("store_falls_short", extra={"problem": problem})
        return report

    async def ping(self) -> None:
        """Ask the store for the least there is. Raises as the port's methods do."""
        await self.dependency.call("ping", self._bucket.check_bucket)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._clients.close()
