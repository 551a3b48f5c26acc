"""A server dies at each commit. Its next version lives, but its store is gone, and callers leave channels open."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
from ledgerlift_server import __version__
from ledgerlift_server.domain.steps import Step

from tests.support.alert_faults.ground import PART, GoWrong, Ground, channel_to
from tests.support.prometheus import Prometheus
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import refused
from tests.support.server import ServerProcess
from tests.support.tools import ROOT

CRASHES = 3
DESCRIPTORS, CHANNELS = 200, 150
"""What a process may have, and what callers take of it."""
LATER = 121
"""Seconds: the lease of a janitor that was killed has run out, and no commit is left to its server any more."""


@asynccontextmanager
async def upgrade_that_goes_wrong(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """Two replicas, one of which is replaced by another version in the end."""
    replaced, kept = metrics
    folder = ground.folder / "replaced"
    environment = {
        "METRICS_ADDRESS": replaced,
        "JANITOR_INTERVAL": "0.1",
        "S3_FAILURE_THRESHOLD": "1000",  # the store is asked each time, as where it refuses this one object
        "UPLOAD_PART_SIZE": str(PART),
        "MAX_FILE_SIZE": str(100 * PART),
    }
    process = ServerProcess(folder, environment, crash_at=Step.BEFORE_COMPLETE)

    async def crash(prometheus: Prometheus, number: int, **next_life: Any) -> None:
        async with grpc.aio.insecure_channel(process.address) as channel:
            upload = messages(content(number, PART + 1000), finish=True, spec=spec())
            await refused(uploads(channel).Upload, upload)
        await process.restart(**next_life)
        seen = f'changes(process_start_time_seconds{{instance="{replaced}"}}[1h]) == {number}'
        await asyncio.to_thread(prometheus.until, seen)

    async def go_wrong(prometheus: Prometheus) -> None:
        for number in range(1, CRASHES):
            await crash(prometheus, number, crash_at=Step.BEFORE_COMPLETE)
        another = await asyncio.to_thread(_another_version, ground.folder / "version")
        await crash(prometheus, CRASHES, PYTHONPATH=str(another))
        (folder / "data" / "objects").rename(folder / "aside")
        await asyncio.to_thread(_let_time_pass, folder / "data" / "ledgerlift.db")
        async with AsyncExitStack() as channels:
            await _take_descriptors(process, channels)
            await asyncio.Event().wait()

    async with AsyncExitStack() as stack:
        stack.push_async_callback(process.kill)
        await process.start()
        await stack.enter_async_context(channel_to(ground.folder / "kept", kept))
        yield go_wrong


def _another_version(folder: Path) -> Path:
    """What PYTHONPATH is to name: the same code, as of a later release."""
    shutil.copytree(ROOT / "server", folder)
    module = folder / "ledgerlift_server" / "__init__.py"
    text = module.read_text()
    assert __version__ in text
    module.write_text(text.replace(__version__, "999.0.0"))
    return folder


def _let_time_pass(database: Path) -> None:
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        past = (LATER * 1_000_000,)
        connection.execute("UPDATE leases SET expire_time = expire_time - ?", past)
        update = "UPDATE sessions SET update_time = update_time - ? WHERE state = 'COMMITTING'"
        assert connection.execute(update, past).rowcount == CRASHES


async def _take_descriptors(process: ServerProcess, channels: AsyncExitStack) -> None:
    """As a caller does that makes a channel for each call."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    for _ in range(CHANNELS):
        own = grpc.aio.insecure_channel(process.address, options=[("grpc.use_local_subchannel_pool", 1)])
        await channels.enter_async_context(own)
        await own.channel_ready()
