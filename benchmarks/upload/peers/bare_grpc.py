"""The ceiling: a grpc.aio server that throws away what it receives, and grpc.aio's own client.

No protobuf, no digest, no store: what is left is gRPC's own cost of moving 1 MiB messages between two processes.
As a program (`python -m benchmarks.upload.peers.bare_grpc PORT`) it is that server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil

from benchmarks.upload.payload import Payload
from benchmarks.upload.processes import ROOT, free_port, running

METHOD = "/benchmarks.Sink/Take"


class BareGrpc:
    """Sends the payload in one client-streaming call."""

    name = "bare grpcio"
    durability = "thrown away"

    def __init__(self, channel: grpc.aio.Channel, server: psutil.Process) -> None:
        self.server: psutil.Process | None = server
        self._take: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD)

    async def send(self, payload: Payload) -> None:
        """The server answers the number of bytes that it took."""
        taken = int(await self._take(payload.messages()))
        assert taken == payload.size, f"{taken} of {payload.size} bytes arrived"

    async def tidy(self) -> None:
        """Nothing was stored."""


@asynccontextmanager
async def bare_grpc(place: Path) -> AsyncIterator[BareGrpc]:
    """A bare server and its client. `place` takes its log."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.upload.peers.bare_grpc", str(port)]
    env = {"PYTHONPATH": str(ROOT)}
    async with (
        running(command, port=port, log=place / "bare-grpc.log", env=env) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield BareGrpc(channel, server)


async def _take(requests: AsyncIterator[bytes], context: Any) -> bytes:
    taken = 0
    async for message in requests:
        taken += len(message)
    return b"%d" % taken


async def _serve(port: int) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service, method = METHOD.strip("/").split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(_take)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
