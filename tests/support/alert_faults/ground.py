"""What servers with a fault stand on, and how a fault is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tests.support.prometheus import Prometheus
from tests.support.s3 import S3Server
from tests.support.server import in_process_server

PART = 64 * 1024
"""Bytes of a part, where a document is to have more than one."""
FOR_EVER = 3600.0
"""Seconds of a timeout that is not to end a fault."""
PAUSE = 0.1
"""Seconds between two calls of a caller that goes on and on."""
QUICK = {"janitor_interval": 0.1}
"""What the janitor finds shows while the test runs; it makes a pass every second at the most."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`folder` is that of these servers alone."""

    folder: Path
    database_url: str
    """PostgreSQL, at the newest schema."""
    s3: S3Server


GoWrong = Callable[[Prometheus], Coroutine[Any, Any, None]]
"""Breaks what was well, and keeps it so until it is cancelled. Its Prometheus scrapes the servers."""
Servers = Callable[[Ground, Sequence[str]], AbstractAsyncContextManager[GoWrong]]
"""Servers that are well, with their metrics at these addresses, and how they go wrong."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`alerts` are those that are about it."""

    servers: Servers
    alerts: frozenset[str]
    replicas: int = 1


@asynccontextmanager
async def channel_to(folder: Path, metrics: str, **settings: Any) -> AsyncIterator[grpc.aio.Channel]:
    """To a server in this loop, with its metrics at that address; `settings` by their names."""
    async with (
        in_process_server(folder, metrics_address=metrics, **(QUICK | settings)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield channel
