"""One replica, as whatever deploys it starts, waits for, and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

START_TIMEOUT = 120.0
STOP_TIMEOUT = 120.0
"""Seconds; a busy machine takes its time."""


class Replica:
    """`serve` of the code in `tree` (None: of this one), at an address that it keeps for all its lives."""

    def __init__(
        self, address: str, environment: Mapping[str, str], credentials: grpc.ChannelCredentials, log: Path
    ) -> None:
        """`credentials` are a client's, for the question whether it is ready."""
        self.address = address
        self.tree: Path | None = None
        self._environment = {**environment, "GRPC_ADDRESS": address}
        self._credentials = credentials
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return once it is ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork, no waiting
                [sys.executable, "-m", "ledgerlift_server", "serve"],
                env=environment_of(self._environment, self.tree),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        async with asyncio.timeout(START_TIMEOUT):
            ready = asyncio.create_task(self._ready())
            ended = asyncio.create_task(asyncio.to_thread(self._process.wait))
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                ready.cancel()
                raise AssertionError(f"{self.address} ended with {ended.result()}:\n{self.output[-4000:]}")
            await ready

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self._process is not None, "start() comes first"
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._process.wait, STOP_TIMEOUT)

    def kill(self) -> None:
        """Whether it has ended or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def output(self) -> str:
        """What it has written so far, earlier lives included."""
        return self._log.read_text(errors="replace")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The entries of this event."""
        found = []
        for line in self.output.splitlines():
            with suppress(ValueError):  # what grpc's core writes is no JSON
                entry = json.loads(line)
                if entry.get("event") == event:
                    found.append(entry)
        return found

    async def _ready(self) -> None:
        request = health_pb2.HealthCheckRequest(service="readiness")
        while True:
            # A channel of its own each time: one that was refused waits before it connects again.
            async with grpc.aio.secure_channel(self.address, self._credentials) as channel:
                stub: Any = health_pb2_grpc.HealthStub(channel)
                with suppress(grpc.aio.AioRpcError):
                    answer = await stub.Check(request, timeout=5)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
            await asyncio.sleep(0.1)


def environment_of(environment: Mapping[str, str], tree: Path | None) -> dict[str, str]:
    """Of a process that runs the code in `tree`."""
    if tree is None:
        return dict(environment)
    path = os.pathsep.join(str(tree / part) for part in ("server", "generated", "client"))
    return {**environment, "PYTHONPATH": path}
