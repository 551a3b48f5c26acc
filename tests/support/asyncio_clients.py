"""Asyncio clients under test, which must leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ledgerlift_client import AsyncLedgerLiftClient, ClientOptions

from tests.support.server_thread import server_in_thread

PART = 64 * 1024
OPTIONS = ClientOptions(
    message_size=PART // 4, segment_size=4 * PART, replay_buffer=2 * PART, backoff_base=0.01, backoff_cap=0.05
)
SMALL = ClientOptions(
    message_size=50, segment_size=256, replay_buffer=128, backoff_base=0.001, backoff_cap=0.001, patience=20.0
)
DATA = os.urandom(1000)
PATIENCE = 30.0
"""Seconds for what happens at once, on a busy machine."""


@pytest.fixture(scope="module")
def small_parts_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the tests of a module."""
    changes = {"upload_part_size": PART, "upload_segment_size": 4 * PART, "max_file_size": 100 * PART}
    with server_in_thread(tmp_path_factory.mktemp("server"), **changes) as server:
        yield server.address


@asynccontextmanager
async def client_of(
    target: str, options: ClientOptions = OPTIONS, **named: Any
) -> AsyncIterator[AsyncLedgerLiftClient]:
    """A client that leaves neither tasks nor threads behind."""
    before, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with AsyncLedgerLiftClient(target, options=options, **named) as client:
        yield client
        await nothing_left(before, threads)  # while the channel is still open: its end would end them


async def nothing_left(before: set[asyncio.Task[Any]], threads: set[threading.Thread]) -> None:
    """Tasks of the client and of grpc end by themselves, and so do the client's threads."""
    async with asyncio.timeout(PATIENCE):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left)
    for thread in set(threading.enumerate()) - threads:
        if "ledgerlift" in thread.name:
            await asyncio.to_thread(thread.join, PATIENCE)
            assert not thread.is_alive(), thread


async def arriving(data: bytes, step: int) -> AsyncIterator[bytes]:
    """The bytes as an async iterator of pieces."""
    for start in range(0, len(data), step):
        await asyncio.sleep(0)
        yield data[start : start + step]


async def fetched(client: AsyncLedgerLiftClient, document_id: str) -> bytes:
    """A document's bytes."""
    return b"".join([data async for data in client.download_chunks(document_id)])
