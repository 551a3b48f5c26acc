"""The names of `grpc.health.v1` on the wire: what each says while the server starts, serves and drains."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from tests.support.captured_log import Entries
from tests.support.server import StartServer, in_process_server
from tests.support.shut_window import ShutWindow

SERVING, NOT_SERVING = pb.HealthCheckResponse.SERVING, pb.HealthCheckResponse.NOT_SERVING
SERVICES = ["ledgerlift.v1.DocumentService", "ledgerlift.v1.OperationsService", "ledgerlift.v1.UploadService"]
DEPENDENCIES = ["database", "storage", "s3"]
BUSY_MACHINE = {"high_cpu_percent": 100.0, "high_memory_percent": 100.0, "high_disk_percent": 100.0}
"""The machine of the tests may be short of anything; that is not what is tested."""
TIMEOUT = 30


def stub(channel: grpc.aio.Channel) -> Any:
    """Untyped, as grpc generates it."""
    return health_pb2_grpc.HealthStub(channel)


async def listed(address: str) -> dict[str, bool]:
    """Every name, and whether it serves."""
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await stub(channel).List(pb.HealthListRequest(), timeout=TIMEOUT)
        checked = {
            name: (await stub(channel).Check(pb.HealthCheckRequest(service=name), timeout=TIMEOUT)).status
            for name in answer.statuses
        }
    assert checked == {name: one.status for name, one in answer.statuses.items()}
    return {name: status == SERVING for name, status in checked.items()}


async def test_a_server_with_all_well_serves_under_every_name(tmp_path: Path) -> None:
    """From the moment that it lets callers in: nobody has to wait for a first look."""
    async with in_process_server(tmp_path, **BUSY_MACHINE) as server:
        names = await listed(server.address)
    assert names == dict.fromkeys(["", *SERVICES, "liveness", "readiness", *DEPENDENCIES, "system"], True)


async def test_a_drain_says_so_and_the_process_stays_alive(tmp_path: Path) -> None:
    """What load balancers look at goes at once. What restarts a process, and what tells of dependencies, does not."""
    async with in_process_server(tmp_path, **BUSY_MACHINE) as server:
        await server.drain()
        names = await listed(server.address)
    assert {name for name, serves in names.items() if not serves} == {"", *SERVICES, "readiness"}
    assert {name for name, serves in names.items() if serves} == {"liveness", "system", *DEPENDENCIES}


async def test_a_server_that_waits_for_its_database_is_alive_and_nothing_else(start_server: StartServer) -> None:
    """Kubernetes neither sends it calls nor restarts it."""
    server = await start_server(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", until="listening")
    names = await listed(server.address)
    assert {name for name, serves in names.items() if serves} == {"liveness"}


@pytest.mark.parametrize(("percent", "serves"), [(0.001, False), (100.0, True)])
async def test_a_full_machine_is_not_well_and_is_still_ready(tmp_path: Path, percent: float, serves: bool) -> None:
    """HIGH_DISK_PERCENT: `system` tells, calls are served."""
    async with in_process_server(tmp_path, **(BUSY_MACHINE | {"high_disk_percent": percent})) as server:
        names = await listed(server.address)
    assert names["system"] is serves
    assert names["readiness"]


async def test_readiness_can_be_made_to_depend_on_the_machine(tmp_path: Path) -> None:
    """READINESS_CHECKS=system."""
    changes = BUSY_MACHINE | {"high_disk_percent": 0.001, "readiness_checks": "system"}
    async with in_process_server(tmp_path, **changes) as server:
        names = await listed(server.address)
    assert not names["readiness"]
    assert names[""]


async def test_a_watcher_of_an_unknown_name_is_told_that_it_is(tmp_path: Path) -> None:
    """SERVICE_UNKNOWN, and the call stays open, as the protocol says; nothing more is told."""
    async with in_process_server(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        watch = stub(channel).Watch(pb.HealthCheckRequest(service="nothing"), timeout=TIMEOUT)
        assert (await watch.read()).status == pb.HealthCheckResponse.SERVICE_UNKNOWN
        await server.drain()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_that_takes_nothing_does_not_hold_the_drain(tmp_path: Path, log: Entries) -> None:
    """Its window is shut, its message stuck. Others hear of the drain at once; the server stops in its grace.

    That it could not be answered is its own affair, and no error of the server's.
    """
    async with in_process_server(tmp_path) as server:
        with ShutWindow(server.address, "/grpc.health.v1.Health/Watch", b"") as stuck:
            await asyncio.to_thread(stuck.until_answered)
            async with grpc.aio.insecure_channel(server.address) as channel, asyncio.timeout(20):
                watch = stub(channel).Watch(pb.HealthCheckRequest(), timeout=TIMEOUT)
                assert (await watch.read()).status == SERVING
                await server.drain()
                with suppress(grpc.aio.AioRpcError):  # which forgets a message that the end came with
                    assert (await watch.read()).status == NOT_SERVING
                assert await watch.code() is grpc.StatusCode.UNAVAILABLE
                await server.stop(1.0)
    assert [entry for entry in log() if entry["level"] in ("error", "critical")] == []


async def test_a_message_that_is_on_its_way_does_not_keep_the_status_back(tmp_path: Path) -> None:
    """A drain in the middle of a message: the watcher gets the message and its status, not silence."""
    async with in_process_server(tmp_path) as server:
        with ShutWindow(server.address, "/grpc.health.v1.Health/Watch", b"") as slow:
            await asyncio.to_thread(slow.until_answered)
            await server.drain()
            await asyncio.to_thread(slow.open)
            await asyncio.to_thread(slow.until_trailers)
