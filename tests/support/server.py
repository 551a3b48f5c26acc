"""Servers for tests: one in this process, on port 0, or one in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift_server.adapters.sql import migrate
from ledgerlift_server.app import serving
from ledgerlift_server.domain.steps import Checkpoint, no_checkpoint
from ledgerlift_server.interceptors.authentication import Authenticator
from ledgerlift_server.running_server import RunningServer
from ledgerlift_server.settings import Settings
from ledgerlift_server.tracing_setup import ServerTracing
from pydantic_settings import PydanticBaseSettingsSource

from tests.support.tools import ROOT

START_TIMEOUT = 60.0
"""Seconds that a server process gets to serve; a busy machine takes its time to import."""
STOP_TIMEOUT = 30.0
"""Seconds that a server process gets to end."""
SERVE = ("ledgerlift_server", "serve")
"""The server as it is."""


class IsolatedSettings(Settings):
    """Settings that do not look at the environment of the tests."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_others: Any, **_more: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What the constructor is given, and nothing else."""
        return (init_settings,)


def isolated_settings(folder: Path, **changes: Any) -> Settings:
    """The embedded default under `folder`, on a free port; `changes` by the name of the setting."""
    defaults: dict[str, Any] = {
        "environment": "test",
        "grpc_address": "127.0.0.1:0",
        "data_dir": folder / "data",
        "shutdown_delay": 0.0,
        "shutdown_grace": 5.0,
    }
    return IsolatedSettings(**(defaults | changes))


@asynccontextmanager
async def in_process_server(
    folder: Path,
    *,
    checkpoint: Checkpoint = no_checkpoint,
    authenticator: Authenticator | None = None,
    tracing: ServerTracing | None = None,
    **changes: Any,
) -> AsyncIterator[RunningServer]:
    """A server in this process and loop. A database given as `database_url` is migrated first."""
    settings = isolated_settings(folder, **changes)
    if settings.database_url is not None:
        await asyncio.to_thread(migrate, settings.sqlalchemy_url)
    async with serving(settings, checkpoint=checkpoint, authenticator=authenticator, tracing=tracing) as server:
        yield server


class ServerProcess:
    """`ledgerlift-server serve` in a process of its own, with nothing in its environment but what is said here."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        crash_at: str | None = None,
        program: Sequence[str] = SERVE,
    ) -> None:
        """`crash_at` names the step at which the process is killed (`domain/steps.py`). `program`: a
        module that serves, and its arguments, where it is not to be the server as it is."""
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "ENVIRONMENT": "test",
            "GRPC_ADDRESS": "127.0.0.1:0",
            "DATA_DIR": str(folder / "data"),
            "SHUTDOWN_DELAY": "0",
            **environment,
        }
        self._crash_at = crash_at
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[str] = []
        self._news = threading.Condition()
        self.address = ""

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        return self._running().pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._running().poll()

    @property
    def output(self) -> str:
        """What the process has written so far, stdout and stderr together, earlier lives included."""
        return "\n".join(self._lines)

    def log(self, event: str, **fields: str) -> list[dict[str, Any]]:
        """The log entries of this event so far; of those, the ones with these fields."""
        wanted = {"event": event, **fields}
        return [entry for entry in self._entries() if wanted.items() <= entry.items()]

    async def start(self, *, until: str = "serving") -> None:
        """Return once the server serves, or is only `listening`."""
        seen = len(self._lines)
        program = self._program if self._crash_at is None else ("tests.support.crash_server", self._crash_at)
        self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork, no waiting
            [sys.executable, "-m", *program],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        await asyncio.to_thread(self._until, lambda: self._address(until, seen) is not None, START_TIMEOUT)
        self.address = self._address(until, seen) or ""
        if until == "serving":
            await wait_until_serving(self.address)

    async def restart(self, *, crash_at: str | None = None, until: str = "serving", **environment: str) -> None:
        """Start again on the same port, after the process has ended."""
        await self.wait()
        self.environment |= {"GRPC_ADDRESS": self.address, **environment}
        self._crash_at = crash_at
        await self.start(until=until)

    async def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.send(signal.SIGTERM)
        return await self.wait()

    async def kill(self) -> None:
        """SIGKILL: nothing is flushed and nobody is told."""
        self.send(signal.SIGKILL)
        await self.wait()

    def send(self, number: signal.Signals) -> None:
        """Any signal; SIGSTOP and SIGCONT make it hang and go on."""
        if self.returncode is None:
            os.kill(self.pid, number)

    async def wait(self) -> int:
        """The exit code, once the process has ended and all it wrote is here."""
        process, reader = self._running(), self._reader
        code = await asyncio.to_thread(process.wait, STOP_TIMEOUT)
        assert reader is not None
        await asyncio.to_thread(reader.join, STOP_TIMEOUT)
        return code

    async def until_logged(self, event: str, count: int = 1, **fields: str) -> dict[str, Any]:
        """The entry, once this event has been logged `count` times, with these fields."""
        await asyncio.to_thread(self._until, lambda: len(self.log(event, **fields)) >= count, STOP_TIMEOUT)
        return self.log(event, **fields)[count - 1]

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "start() comes first"
        return self._process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _until(self, holds: Callable[[], bool], timeout: float) -> None:
        """Wait until what is written makes `holds` true. Fails at once when the process ends before."""
        process, reader = self._running(), self._reader
        assert reader is not None

        def over() -> bool:
            return holds() or not reader.is_alive()

        with self._news:
            self._news.wait_for(over, timeout)
        if not holds():
            state = "still runs" if process.poll() is None else f"ended with {process.returncode}"
            raise AssertionError(f"not seen within {timeout:g} s; the server {state} and wrote:\n{self.output}")

    def _address(self, event: str, seen: int) -> str | None:
        for entry in self._entries(seen):
            if entry.get("event") == event:
                return str(entry["address"])
        return None

    def _entries(self, seen: int = 0) -> Iterator[dict[str, Any]]:
        for line in self._lines[seen:]:
            with suppress(ValueError):  # what grpc's core writes is no JSON, nor is half a line of a killed process
                yield json.loads(line)


async def wait_until_serving(address: str, service: str = "") -> None:
    """Return once health says SERVING. UNAVAILABLE means not yet."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(START_TIMEOUT):
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                async for answer in stub.Watch(request, timeout=START_TIMEOUT, wait_for_ready=True):
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
    raise AssertionError(f"{service or 'the server'} at {address} never served")


StartServer = Callable[..., Awaitable[ServerProcess]]
"""`await start_server(crash_at=None, until="serving", **environment)`."""


@pytest.fixture
async def start_server(tmp_path: Path) -> AsyncIterator[StartServer]:
    """Starts server processes over one data folder; whatever still runs is killed at the end."""
    async with AsyncExitStack() as stack:

        async def start(*, crash_at: str | None = None, until: str = "serving", **environment: str) -> ServerProcess:
            process = ServerProcess(tmp_path, environment, crash_at=crash_at)
            stack.push_async_callback(_end, process)
            await process.start(until=until)
            return process

        yield start


async def _end(process: ServerProcess) -> None:
    process.send(signal.SIGCONT)
    await process.kill()
