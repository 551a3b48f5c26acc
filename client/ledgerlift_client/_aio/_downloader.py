"""Carries out a download: the calls of `DownloadRun`, in the caller's task; a thread checks and writes the bytes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, BinaryIO

from ledgerlift_client import errors
from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._aio._worker import AT_ONCE, Worker
from ledgerlift_client._attempt import Operation, transfer_limit
from ledgerlift_client._download_run import DownloadRun
from ledgerlift_client._downloader import Sink, write_all
from ledgerlift_client._files import AtomicFile
from ledgerlift_client._models import Document
from ledgerlift_client._policies import DOWNLOAD_DOCUMENT


async def download(
    calls: Calls, run: DownloadRun, to: str | os.PathLike[str] | BinaryIO, operation: Operation
) -> Document:
    """See `AsyncLedgerLiftClient.download`."""
    worker, files = Worker(), list[AtomicFile]()
    sink: Sink

    async def written(message: Any) -> bytes:
        await worker.do(_write, run, message, sink)
        return b""

    def abandon() -> None:
        for file in files:
            file.abandon()

    try:
        if isinstance(to, str | os.PathLike):
            await worker.do(lambda: files.append(AtomicFile(to)))
            sink, end = files[0], files[0].commit
        else:
            sink, end = to, to.flush
        async for _ in _pieces(calls, run, operation, written):
            pass
        await worker.do(end)
    finally:
        await worker.finish(abandon)
    return run.record


async def chunks(calls: Calls, run: DownloadRun, operation: Operation) -> AsyncGenerator[bytes, None]:
    """Call after call until everything has been handed out: who asks for the next has taken what came before."""
    worker = Worker()

    async def received(message: Any) -> bytes:
        if len(message.chunk.data) <= AT_ONCE:
            return run.received(message)
        return await worker.do(run.received, message)

    try:
        async with aclosing(_pieces(calls, run, operation, received)) as pieces:
            async for data in pieces:
                yield data
    finally:
        await worker.finish(lambda: None)


def _write(run: DownloadRun, message: Any, sink: Sink) -> None:
    data = run.received(message)
    if data:
        write_all(sink, data)


async def _pieces(
    calls: Calls, run: DownloadRun, operation: Operation, receive: Callable[[Any], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Call after call until the download is complete; what `receive` makes of each message."""
    limit = transfer_limit(DOWNLOAD_DOCUMENT, calls.core.options)
    while not run.complete:
        try:
            async with aclosing(calls.stream(DOWNLOAD_DOCUMENT, run.request(), operation, limit)) as stream:
                async for message in stream:
                    data = await receive(message)
                    if data:
                        yield data
                    run.moved()
            run.ended()
        except errors.LedgerLiftError as error:
            await asyncio.sleep(run.failed(error, operation.request_id))
