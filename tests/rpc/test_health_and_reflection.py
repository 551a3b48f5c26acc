"""What stands beside the API: health for probes, reflection for people, channelz for grpc's own tools."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from ledgerlift.v1 import policy_pb2, upload_service_pb2, upload_service_pb2_grpc
from ledgerlift_server.running_server import RunningServer

from tests.support.server import StartServer, in_process_server

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
OURS = ["ledgerlift.v1.DocumentService", "ledgerlift.v1.OperationsService", "ledgerlift.v1.UploadService"]


async def health_of(address: str, service: str) -> Any:
    """What `Check` says."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        return (await stub.Check(request, timeout=10, wait_for_ready=True)).status


async def test_a_server_that_serves_says_so(tmp_path: Path) -> None:
    """The server as a whole and each of its services are SERVING."""
    async with in_process_server(tmp_path) as server:
        assert [await health_of(server.address, name) for name in ("", *OURS)] == [SERVING] * 4


async def test_a_service_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """Asked for a name that nobody knows, health answers NOT_FOUND, as its protocol says."""
    async with in_process_server(tmp_path) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(server.address, "ledgerlift.v1.Nothing")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_watcher_hears_of_a_drain_at_once_and_is_let_go(tmp_path: Path) -> None:
    """NOT_SERVING arrives before anything else ends; the watch does not hold the server up."""
    async with in_process_server(tmp_path, shutdown_grace=60.0) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert (await watch.read()).status == SERVING
            await server.drain()
            assert (await watch.read()).status == NOT_SERVING
            assert await watch.code() is grpc.StatusCode.UNAVAILABLE
        assert await health_of(server.address, "ledgerlift.v1.UploadService") == NOT_SERVING
        async with asyncio.timeout(20):  # far less than the grace
            await server.stop(60.0)


async def test_until_the_database_is_there_the_server_is_not_serving(start_server: StartServer) -> None:
    """While it waits for its database the server listens, tells probes NOT_SERVING and callers to come back."""
    starting = start_server(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", until="listening")
    server = await starting
    assert await health_of(server.address, "") == NOT_SERVING
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = upload_service_pb2_grpc.UploadServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetLimits(upload_service_pb2.GetLimitsRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await server.stop() == 0


def listed(address: str) -> Sequence[str]:
    """The services that reflection names."""
    with grpc.insecure_channel(address) as channel:
        return sorted(ProtoReflectionDescriptorDatabase(channel).get_services())


async def test_reflection_lists_every_service(tmp_path: Path) -> None:
    """grpcurl finds the API, health, and reflection itself."""
    async with in_process_server(tmp_path) as server:
        names = await asyncio.to_thread(listed, server.address)
    assert names == ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", *OURS]


async def test_reflection_tells_the_policies(tmp_path: Path) -> None:
    """A tool that has nothing but the address learns the methods and their policies."""

    def upload_options(server: RunningServer) -> bytes:
        with grpc.insecure_channel(server.address) as channel:
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            method = pool.FindServiceByName("ledgerlift.v1.UploadService").methods_by_name["Upload"]
            return method.GetOptions().SerializeToString()

    async with in_process_server(tmp_path) as server:
        raw = await asyncio.to_thread(upload_options, server)
    upload = upload_service_pb2.DESCRIPTOR.services_by_name["UploadService"].methods_by_name["Upload"]
    options = type(upload.GetOptions()).FromString(raw)
    extension: Any = policy_pb2.policy
    assert options.Extensions[extension].max_timeout.seconds == 3600


@pytest.mark.parametrize(("switched_on", "expected"), [(True, None), (False, grpc.StatusCode.UNIMPLEMENTED)])
async def test_reflection_can_be_switched_off(
    tmp_path: Path, switched_on: bool, expected: grpc.StatusCode | None
) -> None:
    """ENABLE_REFLECTION=false: nobody lists what there is."""

    def code(address: str) -> grpc.StatusCode | None:
        try:
            listed(address)
        except grpc.RpcError as error:
            return error.code()
        return None

    async with in_process_server(tmp_path, enable_reflection=switched_on) as server:
        assert await asyncio.to_thread(code, server.address) is expected


async def servers_in_channelz(address: str) -> int:
    """How many servers channelz tells of."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = channelz_pb2_grpc.ChannelzStub(channel)
        return len((await stub.GetServers(channelz_pb2.GetServersRequest(), timeout=10)).server)


async def test_channelz_shows_the_server_where_it_is_switched_on(tmp_path: Path) -> None:
    """ENABLE_CHANNELZ=true: grpc's tools find the server."""
    async with in_process_server(tmp_path, enable_channelz=True) as server:
        assert await servers_in_channelz(server.address) == 1


async def test_channelz_is_not_there_by_default(tmp_path: Path) -> None:
    """Peers and their addresses are nobody's business unless somebody says so."""
    async with in_process_server(tmp_path) as server:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await servers_in_channelz(server.address)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
