"""Servers of this version on the schema of the next: they start, serve, are rolled back to, and know their end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import operations_service_pb2 as pb
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift_client import LedgerLiftClient
from ledgerlift_server.adapters.sql import migrate

from tests.support.databases import run_sql
from tests.support.migrations import (
    FIRST_NEW,
    NEWEST,
    SECOND_NEW,
    contraction,
    everything_expanded,
    newer_version,
)
from tests.support.server import ServerProcess, StartServer

SOON = {"HEALTH_CACHE_TTL": "0.2"}


def upload_and_download(address: str, data: bytes, copy: Path) -> bytes:
    """What comes back."""
    with LedgerLiftClient(address) as client:
        stored = client.upload(data, filename="a.txt", content_type="text/plain").document
        client.download(stored.document_id, copy)
    return copy.read_bytes()


async def report_of(address: str) -> Any:
    """The health report."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = operations_service_pb2_grpc.OperationsServiceStub(channel)
        return (await stub.GetHealth(pb.GetHealthRequest(), timeout=30)).report


async def until_status(address: str, name: str, *, serving: bool) -> None:
    """Return once health says so."""
    wanted = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60):
            if answer.status == wanted:
                return


async def test_a_server_is_started_on_the_schema_of_the_next_version(
    start_server: StartServer, postgres_url: str, tmp_path: Path
) -> None:
    """As a rollback needs it: `migrate` of the old image is content, the server serves, and the report says which."""
    await asyncio.to_thread(migrate, postgres_url, folder=newer_version(tmp_path, everything_expanded()))
    command = [sys.executable, "-m", "ledgerlift_server", "migrate"]
    environment = {"DATABASE_URL": postgres_url, "DATA_DIR": str(tmp_path)}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"schema {FIRST_NEW}, newer than this version's, which may run on it" in done.stdout
    server = await start_server(DATABASE_URL=postgres_url)
    came_back = await asyncio.to_thread(upload_and_download, server.address, b"data", tmp_path / "copy")
    assert came_back == b"data"
    schema = (await report_of(server.address)).schema
    assert (schema.revision, schema.server_revision) == (FIRST_NEW, NEWEST)
    assert await server.stop() == 0


async def test_an_embedded_server_is_rolled_back(start_server: StartServer, tmp_path: Path) -> None:
    """It migrates by itself when it starts, and leaves a newer database as it is."""
    server = await start_server()
    await server.stop()
    url = f"sqlite:///{tmp_path / 'data' / 'ledgerlift.db'}"
    await asyncio.to_thread(migrate, url, folder=newer_version(tmp_path, everything_expanded()))
    await server.restart()
    came_back = await asyncio.to_thread(upload_and_download, server.address, b"data", tmp_path / "copy")
    assert came_back == b"data"


async def test_a_server_is_not_started_on_a_schema_that_is_not_for_it(postgres_url: str, tmp_path: Path) -> None:
    """It says which schema there is, what it was made for, and what is wanted; nothing waits."""
    folder = newer_version(tmp_path, everything_expanded(), contraction(FIRST_NEW))
    await asyncio.to_thread(migrate, postgres_url, folder=folder)
    await asyncio.to_thread(migrate, postgres_url, folder=folder)  # nobody is connected: the contraction is made
    refused = ServerProcess(tmp_path, {"DATABASE_URL": postgres_url})
    with pytest.raises(AssertionError, match=f"at schema {SECOND_NEW}.*newer servers: {FIRST_NEW} at the least"):
        await refused.start()
    assert await refused.wait() == 1


async def test_a_server_notices_a_contraction_while_it_runs(
    start_server: StartServer, postgres_url: str, tmp_path: Path
) -> None:
    """Somebody made it past the guard: readiness goes, liveness stays, and the report says which schema it wants."""
    server = await start_server(DATABASE_URL=postgres_url, **SOON)
    await until_status(server.address, "readiness", serving=True)
    folder = newer_version(tmp_path, everything_expanded(), contraction(FIRST_NEW))
    for _ in range(2):
        assert (await asyncio.to_thread(migrate, postgres_url, folder=folder)).waiting is not None
    mark = f"UPDATE schema_compatibility SET least_server = '{FIRST_NEW}'"  # noqa: S608 - ours
    await asyncio.to_thread(run_sql, postgres_url, mark)
    await until_status(server.address, "readiness", serving=False)
    await until_status(server.address, "liveness", serving=True)
    report = await report_of(server.address)
    assert f"newer servers: {FIRST_NEW} at the least" in report.database.message
    assert report.schema.least_server_revision == FIRST_NEW
