"""Replicas over one PostgreSQL and one S3 server, behind proxies, small enough for all of it to be full.

`one` is the janitor, and its store can be taken away. `two` waits for the lease, its database can be taken away, and
it dies in the middle of its first commit of several parts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import psycopg2

from tests.support.movement import Movements, Watched
from tests.support.s3 import S3Server
from tests.support.server import ServerProcess
from tests.support.stores import MIB, Stores, shared
from tests.support.toxiproxy import Toxiproxy

STORE, DATABASE = "storage", "database"
"""The proxies' names."""
UPLOADS, DOWNLOADS, WATCHES, QUERIES, STORE_THREADS = 2, 30, 2, 16, 28
"""At once, of `one`. Downloads are more than its threads, whose further attempts are more than its budget has."""
METRICS = {"METRICS_ADDRESS": "127.0.0.1:0", "DB_RECOVERY_TIMEOUT": "0.2", "S3_RECOVERY_TIMEOUT": "0.2"}
ONE = {
    "MAX_CONCURRENT_UPLOADS": str(UPLOADS),
    "MAX_CONCURRENT_DOWNLOADS": str(DOWNLOADS),
    "MAX_CONCURRENT_WATCHES": str(WATCHES),
    "MAX_CONCURRENT_QUERIES": str(QUERIES),
    "UPLOAD_MEMORY_BUDGET": str(12 * MIB),  # one buffer of 5 MiB and what two streams hold beside theirs, not two
    "UPLOAD_BUDGET_WAIT": "60",
    "UPLOAD_PARTS_IN_FLIGHT": "2",
    "DB_POOL_SIZE": "1",
    "DB_MAX_OVERFLOW": "2",
    "DB_LOCK_TIMEOUT": "5.2",  # longer than a call may take that is not slow
    "DB_FAILURE_THRESHOLD": "1000",
    "S3_MAX_CONNECTIONS": str(STORE_THREADS),
    "S3_READ_TIMEOUT": "60",
    "S3_FAILURE_THRESHOLD": "20",  # not by the few calls that the janitor makes
    "JANITOR_INTERVAL": "0.2",
    "JANITOR_DRIFT_INTERVAL": "0.2",
    "JANITOR_ORPHAN_AGE": "1",
}
TWO = {
    "DB_POOL_SIZE": "1",
    "DB_MAX_OVERFLOW": "1",
    "DB_POOL_TIMEOUT": "0.5",
    "DB_FAILURE_THRESHOLD": "8",
    "DB_LOCK_TIMEOUT": "60",
    "JANITOR_INTERVAL": "0.2",
}


@dataclass(frozen=True)
class Replica:
    """A server process, a channel to it, and its metrics."""

    process: ServerProcess
    channel: grpc.aio.Channel
    metrics: Watched


@dataclass(frozen=True)
class Fleet:
    """What replicas work over, and what is done to it."""

    stores: Stores
    s3: S3Server
    proxy: Toxiproxy
    movements: Movements

    @property
    def bucket(self) -> str:
        """Of the documents."""
        return self.stores.environment["S3_BUCKET"]

    def restore(self, name: str) -> None:
        """Let the proxy lead to where it belongs; toxics stay."""
        url = self.s3.endpoint if name == STORE else self.stores.environment["DATABASE_URL"]
        self.proxy.lead_to(name, f"127.0.0.1:{urlsplit(url).port}")

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement past all servers; what it returns."""
        with closing(psycopg2.connect(self.stores.environment["DATABASE_URL"])) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []

    def backdate(self, upload_id: str) -> None:
        """Let the session have been left alone for a month: it is time for the janitor, whatever its state."""
        self.sql(
            "UPDATE sessions SET update_time = update_time - interval '30 days',"
            " expire_time = expire_time - interval '30 days' WHERE upload_id = %s",
            upload_id,
        )

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Replica]:
        """The janitor."""
        endpoint = {"S3_ENDPOINT": f"http://{self.proxy.listens[STORE]}"}
        async with self._replica("one", None, **ONE, **endpoint) as replica:
            await replica.metrics.until_moved("ledgerlift_janitor_passes_total", outcome="done")
            yield replica

    @asynccontextmanager
    async def two(self) -> AsyncIterator[Replica]:
        """The other one. To be started behind `one`, or it gets the lease."""
        url = urlsplit(self.stores.environment["DATABASE_URL"])
        through = url._replace(netloc=f"{url.username}@{self.proxy.listens[DATABASE]}").geturl()
        async with self._replica("two", "before_complete", **TWO, DATABASE_URL=through) as replica:
            yield replica

    @asynccontextmanager
    async def _replica(self, name: str, crash_at: str | None, **environment: str) -> AsyncIterator[Replica]:
        async with AsyncExitStack() as stack:
            process = await stack.enter_async_context(self.stores.server(crash_at=crash_at, **METRICS, **environment))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.address))
            (told,) = process.log("metrics_listening")
            metrics = Watched(name, told["address"], self.movements)
            await metrics.scrape()
            yield Replica(process, channel, metrics)


@asynccontextmanager
async def fleet(folder: Path, database_url: str, s3: S3Server, movements: Movements) -> AsyncIterator[Fleet]:
    """The proxies run; no replica does."""
    with Toxiproxy.running(folder) as proxy:
        found = Fleet(shared(folder, database_url, s3.environment()), s3, proxy, movements)
        for name, url in ((STORE, s3.endpoint), (DATABASE, database_url)):
            proxy.put_before(name, f"127.0.0.1:{urlsplit(url).port}")
        yield found
