"""A client whose server goes away in the middle of a transfer and comes back."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from ledgerlift_client import ClientOptions, LedgerLiftClient, Progress, UploadResult

from tests.support.server import ServerProcess
from tests.support.stores import KIB, embedded

PART = 64 * KIB
OPTIONS = ClientOptions(message_size=16 * KIB, segment_size=4 * PART, replay_buffer=2 * PART)


class Halt:
    """A progress callback that holds the client still once it has come to `position`."""

    def __init__(self, position: int) -> None:
        self._position = position
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, now: Progress) -> None:
        """Stand still, once."""
        if now.position >= self._position and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(60)


def pipe(data: bytes) -> io.BufferedReader:
    """A stream that cannot seek, and gives `data`."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data)

    threading.Thread(target=write, daemon=True).start()
    return os.fdopen(reader, "rb")


async def uploaded(
    server: ServerProcess, data: bytes, meanwhile: Callable[[], Awaitable[None]], *, position: int, piped: bool
) -> UploadResult:
    """Upload `data`; when the client is at `position`, `meanwhile` happens. Checks that what is stored is right."""
    halt = Halt(position)

    def work() -> UploadResult:
        with LedgerLiftClient(server.address, options=OPTIONS) as client:
            if piped:
                with pipe(data) as stream:
                    result = client.upload(stream, filename="a.bin", progress=halt)
            else:
                result = client.upload(data, filename="a.bin", progress=halt)
            memory = io.BytesIO()
            client.download(result.document.document_id, memory)
            assert memory.getvalue() == data
            assert client.stats().total.documents == 1
            return result

    upload = asyncio.create_task(asyncio.to_thread(work))
    assert await asyncio.to_thread(halt.reached.wait, 60)
    await meanwhile()
    halt.go_on.set()
    return await upload


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("position", [PART // 2, 3 * PART, 6 * PART])
async def test_a_server_that_is_killed_costs_no_more_than_a_segment(
    tmp_path: Path, position: int, piped: bool
) -> None:
    """SIGKILL in the middle of an upload, and the server back on its port: one whole document."""
    data = os.urandom(10 * PART + 5)
    async with embedded(tmp_path, part_size=PART).server() as server:

        async def kill_and_restart() -> None:
            await server.kill()
            await server.restart()

        result = await uploaded(server, data, kill_and_restart, position=position, piped=piped)
    assert result.attempts > 1
    assert result.resent_bytes <= 4 * PART


@pytest.mark.parametrize("piped", [False, True])
async def test_a_server_that_is_stopped_drains_the_upload(tmp_path: Path, piped: bool) -> None:
    """SIGTERM answers the running segment with what is durable; the next server goes on with the rest."""
    data = os.urandom(10 * PART + 5)
    async with embedded(tmp_path, part_size=PART).server() as server:

        async def stop_and_restart() -> None:
            assert await server.stop() == 0
            await server.restart()

        result = await uploaded(server, data, stop_and_restart, position=6 * PART, piped=piped)
    assert result.resent_bytes <= 4 * PART


async def test_an_upload_survives_a_server_that_is_away_for_a_while(tmp_path: Path) -> None:
    """Refused connections are waited out where the server has been there before, however many attempts that takes."""
    data = os.urandom(10 * PART)
    async with embedded(tmp_path, part_size=PART).server() as server:
        halt = Halt(6 * PART)

        def work() -> UploadResult:
            with LedgerLiftClient(server.address, options=ClientOptions(message_size=16 * KIB)) as client:
                client.limits()
                return client.upload(io.BytesIO(data), filename="a.bin", progress=halt, request_id="r")

        upload = asyncio.create_task(asyncio.to_thread(work))
        assert await asyncio.to_thread(halt.reached.wait, 60)
        await server.kill()
        halt.go_on.set()
        await asyncio.sleep(3)  # the time away is what the test is about
        await server.restart()
        result = await upload
    assert result.document.size == len(data)
    assert result.attempts > 2


async def test_a_download_goes_on_after_a_restart(tmp_path: Path) -> None:
    """From the last good byte; the file appears only when it is whole."""
    data = os.urandom(300 * PART)
    async with embedded(tmp_path, part_size=PART).server() as server:
        halt = Halt(50 * PART)
        copy = tmp_path / "copy"

        def work() -> None:
            with LedgerLiftClient(server.address) as client:
                stored = client.upload(data, filename="a.bin").document
                client.download(stored.document_id, copy, progress=halt)

        download = asyncio.create_task(asyncio.to_thread(work))
        assert await asyncio.to_thread(halt.reached.wait, 60)
        assert not copy.exists()
        server.send(signal.SIGKILL)
        await server.restart()
        halt.go_on.set()
        await download
    assert copy.read_bytes() == data
