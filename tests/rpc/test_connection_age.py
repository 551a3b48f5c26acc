"""Clients that are connected hear of replicas that came later: what an autoscaler adds takes its share of calls."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift_client._channel import channel_options
from ledgerlift_client._options import ClientOptions

from tests.support.name_server import NameServer
from tests.support.server import in_process_server

FIRST, LATER = "127.0.0.1", "127.0.0.2"
AGE = 0.5
"""Seconds in place of minutes."""
RESOLVE_AGAIN = ("grpc.dns_min_time_between_resolutions_ms", 100)
"""In place of half a minute."""
PATIENCE = 60


class Later(health_pb2_grpc.HealthServicer):
    """A replica that tells when it gets its first call."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        """Well."""
        self.asked.set()
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


async def test_a_replica_that_came_later_gets_calls(tmp_path: Path) -> None:
    """A connection ends at its age, the name is asked for again, and the next calls go to both."""
    later, second = Later(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(later, second)
    async with in_process_server(tmp_path, grpc_max_connection_age=AGE) as first:
        second.add_insecure_port(f"{LATER}:{first.port}")
        await second.start()
        with NameServer.running("replicas.test", [FIRST]) as names:
            options = [*channel_options(ClientOptions()), RESOLVE_AGAIN]
            async with grpc.aio.insecure_channel(names.target(first.port), options) as channel:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
                assert not later.asked.is_set()
                names.addresses.append(LATER)
                async with asyncio.timeout(PATIENCE):
                    while not later.asked.is_set():
                        with suppress(grpc.aio.AioRpcError):  # one on its way may meet the end of its connection
                            await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        await second.stop(0)
