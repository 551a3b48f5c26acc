"""A task that is cancelled in the asyncio client: its calls end, nothing is left behind, what is durable stays."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_client import (
    AsyncLedgerLiftClient,
    ClientOptions,
    Progress,
    UploadItem,
    UploadState,
)

from tests.support.asyncio_clients import (
    DATA,
    PART,
    PATIENCE,
    SMALL,
    arriving,
    client_of,
    fetched,
    nothing_left,
)
from tests.support.upload_peer import Fault, UploadPeer


async def test_a_cancelled_upload_ends_on_the_server_and_can_be_gone_on_with(small_parts_server: str) -> None:
    """What is durable stays, the stream is over, and the same request id sends only the rest."""
    data, request_id = os.urandom(10 * PART + 7), os.urandom(8).hex()
    async with client_of(small_parts_server) as client:
        segment = asyncio.Event()

        def watch(progress: Progress) -> None:
            if progress.durable >= 4 * PART and progress.position > progress.durable:
                segment.set()

        async def slowly() -> AsyncIterator[bytes]:
            async for piece in arriving(data, 1000):
                if segment.is_set():
                    await asyncio.Event().wait()
                yield piece

        upload = asyncio.create_task(client.upload(slowly(), filename="a.bin", request_id=request_id, progress=watch))
        await segment.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        (session,) = [one async for one in client.list_uploads(request_id=request_id)]
        assert session.state is UploadState.ACTIVE
        assert session.persisted_size >= 4 * PART
        positions: list[Progress] = []
        result = await client.upload(
            arriving(data, 999), filename="a.bin", request_id=request_id, progress=positions.append
        )
        assert positions[0].position >= 4 * PART
        assert result.upload_id == session.upload_id
        assert await fetched(client, result.document.document_id) == data


@pytest.mark.parametrize("method", ["Upload", "CreateUpload", "DownloadDocument", "GetDocument"])
async def test_cancelling_ends_the_call_that_is_under_way(peer: UploadPeer, method: str) -> None:
    """The server hears of it at once, and does not work for a task that has left."""
    peer.fail(method, Fault(hang=PATIENCE, after=1))
    document_id = peer.add_document(DATA)
    async with client_of(peer.target, SMALL) as client:
        works: dict[str, Any] = {
            "Upload": lambda: client.upload(DATA[:200], filename="a.bin"),
            "CreateUpload": lambda: client.upload(DATA, filename="a.bin"),
            "DownloadDocument": lambda: client.download(document_id, io.BytesIO()),
            "GetDocument": lambda: client.get(document_id),
        }
        task = asyncio.create_task(works[method]())
        assert await asyncio.to_thread(peer.hanging.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(peer.abandoned.wait, PATIENCE)


async def test_cancelling_ends_a_stream_that_the_server_does_not_read(peer: UploadPeer) -> None:
    """While messages wait for room, and even where the exception, and with it the call, is kept."""
    peer.fail("Upload", Fault(hang=PATIENCE, after=1))
    async with client_of(peer.target, ClientOptions(message_size=1 << 20)) as client:
        waiting = asyncio.Event()
        task = asyncio.create_task(client.upload(bytes(16 << 20), filename="a.bin", progress=lambda _: waiting.set()))
        await waiting.wait()
        assert await asyncio.to_thread(peer.hanging.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await task
        assert await asyncio.to_thread(peer.abandoned.wait, PATIENCE / 2)
        assert kept.value is not None


async def test_a_timeout_of_asyncio_is_a_timeout(peer: UploadPeer) -> None:
    """Like every other cancellation, and the session stays for the request id."""
    peer.fail("Upload", Fault(hang=PATIENCE, after=1))
    async with client_of(peer.target, SMALL) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.upload(DATA[:200], filename="a.bin", request_id="r")
        assert (await client.upload(DATA[:200], filename="a.bin", request_id="r")).document.size == 200


async def test_many_uploads_are_cancelled_together(peer: UploadPeer) -> None:
    """Those that run end, those that wait do not begin."""
    peer.fail("Upload", *[Fault(hang=PATIENCE, after=1) for _ in range(2)])
    async with client_of(peer.target, SMALL) as client:
        items = [UploadItem(DATA[:n], filename="a.bin") for n in range(100, 110)]
        task = asyncio.create_task(client.upload_many(items, concurrency=2))
        assert await asyncio.to_thread(_until, lambda: peer.count("Upload") == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert peer.count("Upload") == 2


async def test_many_uploads_of_async_iterators(peer: UploadPeer) -> None:
    """In the order given; what fails is one outcome."""

    async def torn() -> AsyncIterator[bytes]:
        yield DATA[:400]
        raise ZeroDivisionError("torn")

    async with client_of(peer.target, SMALL) as client:
        items = [UploadItem(arriving(DATA[:n], 30), filename=f"{n}.bin") for n in range(290, 300)]
        items[4] = UploadItem(torn(), filename="torn.bin")
        outcomes = await client.upload_many([*items, b"no name"], concurrency=3)
    assert [outcome.item.filename for outcome in outcomes[:10]] == [item.filename for item in items]
    assert [type(outcome.error) for outcome in outcomes if outcome.error] == [ZeroDivisionError, ValueError]
    assert [outcome.result.document.size for outcome in outcomes if outcome.result] == [
        *range(290, 294),
        *range(295, 300),
    ]


async def test_a_silent_pipe_does_not_keep_a_cancelled_task(peer: UploadPeer) -> None:
    """The read cannot be stopped and is not waited for; what was opened is closed behind it."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb") as other:
        other.write(DATA[:300])
        other.flush()
        async with AsyncLedgerLiftClient(peer.target, options=SMALL) as client:
            task = asyncio.create_task(client.upload(stream, filename="a.bin"))
            assert await asyncio.to_thread(_until, lambda: _received(peer) == 300)  # the next read waits
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.cancelled()
            other.close()  # the thread reads the end, and ends
            await nothing_left(set(asyncio.all_tasks()), set())


def _received(peer: UploadPeer) -> int:
    return sum(length for messages in peer.received for _, length in messages)


def _until(holds: Any) -> bool:
    for _ in range(int(PATIENCE * 100)):
        if holds():
            return True
        threading.Event().wait(0.01)
    return False


async def test_a_file_is_the_callers_again_when_the_task_has_ended(peer: UploadPeer) -> None:
    """A read that was under way has ended: seeking at once does not meet it."""

    class Slow(io.BytesIO):
        reading = threading.Event()
        busy = False

        def read(self, size: int | None = -1) -> bytes:
            Slow.busy = True
            if self.tell() >= 300:
                Slow.reading.set()
                threading.Event().wait(0.2)
            data = super().read(size)
            Slow.busy = False
            return data

    file = Slow(DATA)
    async with client_of(peer.target, SMALL) as client:
        task = asyncio.create_task(client.upload(file, filename="a.bin", request_id="r"))
        assert await asyncio.to_thread(Slow.reading.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not Slow.busy
        file.seek(0)
        assert (await client.upload(file, filename="a.bin", request_id="r")).document.size == len(DATA)


async def test_a_download_that_was_cancelled_leaves_no_file(peer: UploadPeer, tmp_path: Path) -> None:
    """Neither under its name nor beside it."""
    document_id = peer.add_document(DATA)
    async with client_of(peer.target, SMALL) as client:
        told = asyncio.Event()

        def cancel_it(progress: Progress) -> None:
            if progress.position >= 300:
                told.set()
                task.cancel()

        task = asyncio.create_task(client.download(document_id, tmp_path / "copy", progress=cancel_it))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told.is_set()
    assert os.listdir(tmp_path) == []


async def test_a_cancelled_look_at_the_digest_reads_no_further(peer: UploadPeer, tmp_path: Path) -> None:
    """The thread does not hash a hundred gigabytes for nobody."""
    path = tmp_path / "sparse.bin"
    with path.open("wb") as file:
        file.truncate(100 << 30)
    async with client_of(peer.target) as client:
        task = asyncio.create_task(client.upload(path, dedupe="check"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert peer.calls == []
