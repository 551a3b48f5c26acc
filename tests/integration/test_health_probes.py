"""What Kubernetes sees of a server whose database stops, hangs and comes back: the real probe, a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc
from ledgerlift_server.adapters.sql import migrate

from tests.support.postgres import PostgresServer
from tests.support.server import ServerProcess, StartServer
from tests.support.tools import tool

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
OK, CANNOT_CONNECT, FAILED, UNHEALTHY = 0, 2, 3, 4
"""Exit codes of grpc_health_probe."""
SERVER_NAMES = [
    "",
    "ledgerlift.v1.DocumentService",
    "ledgerlift.v1.OperationsService",
    "ledgerlift.v1.UploadService",
]
NOTICED = 60.0
"""Seconds in which a change is told at the latest, with room for a busy machine."""
QUICK = {"HEALTH_CACHE_TTL": "0.5", "HEALTH_CHECK_TIMEOUT": "2", "HIGH_CPU_PERCENT": "100"}
"""Settings under which the tests need not wait for half a minute."""
ROOMY = {"HIGH_MEMORY_PERCENT": "100", "HIGH_DISK_PERCENT": "100"}


async def probe(server: ServerProcess, name: str) -> int:
    """The exit code of grpc_health_probe."""
    arguments = [f"-addr={server.address}", "-connect-timeout=20s", "-rpc-timeout=20s", f"-service={name}"]
    program: list[Any] = [tool("grpc_health_probe"), *arguments]
    done = await asyncio.to_thread(subprocess.run, program, capture_output=True, timeout=60, check=False)
    code: int = done.returncode
    return code


async def probes(server: ServerProcess, *names: str) -> list[int]:
    """One after the other."""
    return [await probe(server, name) for name in names]


async def report_of(server: ServerProcess) -> tuple[Any, float]:
    """The health report by grpcurl, and the seconds that the call took by the server's own log."""
    program: list[Any] = [tool("grpcurl"), "-plaintext", "-max-time", "20", server.address]
    method = "ledgerlift.v1.OperationsService/GetHealth"
    before = len(server.log("call_ended", method=method))
    done = await asyncio.to_thread(
        subprocess.run, [*program, method], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    ended = await server.until_logged("call_ended", before + 1, method=method)
    return json.loads(done.stdout)["report"], ended["duration_ms"] / 1000


@asynccontextmanager
async def watching(server: ServerProcess, name: str) -> AsyncIterator[Any]:
    """A Watch of `name`, opened before the block."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(pb.HealthCheckRequest(service=name), timeout=2 * NOTICED)
        yield watch
        watch.cancel()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server that this test may stop and freeze."""
    with PostgresServer.temporary() as server:
        yield server


@pytest.fixture
async def server(start_server: StartServer, postgres: PostgresServer) -> ServerProcess:
    """On PostgreSQL and files."""
    url = postgres.url(postgres.create_database())
    await asyncio.to_thread(migrate, url)
    return await start_server(DATABASE_URL=url, **QUICK, **ROOMY)


async def test_the_probe_of_every_name(server: ServerProcess) -> None:
    """0 for each that serves, 3 (NOT_FOUND) for one that nobody knows, 2 once the process is gone."""
    names = [*SERVER_NAMES, "liveness", "readiness", "database", "storage", "s3", "system"]
    assert dict(zip(names, await probes(server, *names), strict=True)) == dict.fromkeys(names, OK)
    assert await probe(server, "nothing") == FAILED
    await server.stop()
    assert await probe(server, "liveness") == CANNOT_CONNECT


async def test_a_server_that_starts_is_alive_and_not_serving(start_server: StartServer) -> None:
    """Its database is not there yet: 4 for everything but liveness."""
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    server = await start_server(DATABASE_URL=nowhere, until="listening")
    assert await probes(server, *SERVER_NAMES, "readiness", "database") == [UNHEALTHY] * 6
    assert await probe(server, "liveness") == OK


async def test_a_drain_is_told_from_its_first_moment(start_server: StartServer) -> None:
    """Load balancers get SHUTDOWN_DELAY to notice; all that time the process is alive, as is its database."""
    server = await start_server(SHUTDOWN_DELAY="20")
    async with watching(server, "") as watch:
        assert (await watch.read()).status == SERVING
        # Begun before: the watch ends with that message, and grpc.aio gives the end to a read that comes after it.
        told = asyncio.create_task(watch.read())
        server.send(signal.SIGTERM)
        assert (await told).status == NOT_SERVING
    assert await probes(server, *SERVER_NAMES, "readiness") == [UNHEALTHY] * 5
    assert await probes(server, "liveness", "database", "storage") == [OK] * 3


async def test_a_database_that_stops_and_comes_back(server: ServerProcess, postgres: PostgresServer) -> None:
    """Readiness follows it, every change is told to who watches, and nobody restarts the server for it."""
    async with watching(server, "readiness") as readiness, watching(server, "database") as database:
        assert (await readiness.read()).status == (await database.read()).status == SERVING
        await asyncio.to_thread(postgres.stop)
        assert (await readiness.read()).status == (await database.read()).status == NOT_SERVING
        assert await probes(server, "readiness", "database") == [UNHEALTHY] * 2
        assert await probes(server, *SERVER_NAMES, "liveness", "storage", "s3") == [OK] * 7
        await asyncio.to_thread(postgres.start)
        assert (await readiness.read()).status == (await database.read()).status == SERVING
        assert await probes(server, "readiness", "database", "liveness") == [OK] * 3


async def test_a_database_that_hangs_keeps_nobody_waiting(server: ServerProcess, postgres: PostgresServer) -> None:
    """GetHealth and the probes answer at once from what is known, which is that the database does not answer."""
    async with watching(server, "readiness") as readiness:
        assert (await readiness.read()).status == SERVING
        postgres.suspend()
        began = time.monotonic()
        report, seconds = await report_of(server)
        assert seconds < 1.0  # of the 2 s that even the look in the background waits
        assert (await readiness.read()).status == NOT_SERVING
        assert time.monotonic() - began < NOTICED
        report, seconds = await report_of(server)
        assert seconds < 1.0
        assert report["status"] == "HEALTH_STATUS_UNHEALTHY"
        assert report["issues"] == ["database"]
        assert report["database"]["status"] == "HEALTH_STATUS_UNHEALTHY"
        assert report["database"]["message"]
        assert report["storage"]["status"] == "HEALTH_STATUS_HEALTHY"
        assert await probes(server, "liveness", "", "storage") == [OK] * 3
        assert await probe(server, "database") == UNHEALTHY
        postgres.resume()
        assert (await readiness.read()).status == SERVING
        report, _ = await report_of(server)
        assert "issues" not in report
