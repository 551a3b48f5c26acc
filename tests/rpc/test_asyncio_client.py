"""What only the asyncio client has: a loop that stays free, async iterators, grpc.aio's own ways.

All that both clients promise is in the other suites of the client, which run with both.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import io
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from ledgerlift_client import (
    AsyncLedgerLiftClient,
    ClientOptions,
    LedgerLiftClient,
    Retrying,
    TransferEvent,
    errors,
)

from tests.support.asyncio_clients import (
    DATA,
    PART,
    PATIENCE,
    SMALL,
    arriving,
    client_of,
    fetched,
)
from tests.support.cut_wire import CutWire
from tests.support.upload_peer import Fault, UploadPeer

# The loop stays free


async def test_what_blocks_does_not_hold_the_loop_up(peer: UploadPeer) -> None:
    """Reading a file object, an iterable's own code, and writing: each waits here for what another task does."""
    async with client_of(peer.target, SMALL) as client:
        loop = asyncio.get_running_loop()

        def ask_the_loop() -> None:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(PATIENCE)

        class Asking(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                ask_the_loop()
                return super().read(size)

            def write(self, data: Any) -> int:
                ask_the_loop()
                return super().write(data)

        def pieces() -> Iterator[bytes]:
            for start in range(0, 1000, 100):
                ask_the_loop()
                yield DATA[start : start + 100]

        result = await client.upload(Asking(DATA), filename="a.bin")
        again = await client.upload(pieces(), filename="a.bin")
        copy = Asking()
        await client.download(result.document.document_id, copy)
        assert copy.getvalue() == DATA == peer.stored(again.document.document_id)


async def test_large_bytes_are_hashed_elsewhere(small_parts_server: str) -> None:
    """The longest that the loop is held up is far less than hashing the whole would take."""
    threads: set[str] = set()
    hashing = hashlib.sha256

    class Watched:
        def __init__(self) -> None:
            self._hash = hashing()

        def update(self, data: bytes) -> None:
            threads.add(threading.current_thread().name)
            self._hash.update(data)

        def hexdigest(self) -> str:
            return self._hash.hexdigest()

    options = ClientOptions(message_size=1 << 20)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ledgerlift_client._digest.hashlib.sha256", Watched)
        async with client_of(small_parts_server, options) as client:
            await client.upload(os.urandom(40 * PART), filename="a.bin")
    assert threads == {"ledgerlift-worker"}


# Async iterators


@pytest.mark.parametrize("size", [0, 1, 50, 51, 128, 129, 256, 257, 1000])
@pytest.mark.parametrize("step", [1, 37, 50, 300, 5000])
async def test_an_async_iterator_of_every_size(peer: UploadPeer, size: int, step: int) -> None:
    """Around the sizes of a message, a segment and the replay buffer, every byte arrives once."""
    async with client_of(peer.target, SMALL) as client:
        result = await client.upload(arriving(DATA[:size], step), filename="a.bin")
    assert peer.stored(result.document.document_id) == DATA[:size]
    assert (result.resent_bytes, result.attempts) == (0, 1)


@pytest.mark.parametrize("cut_after", [PART // 2, 3 * PART, 6 * PART])
async def test_an_async_iterator_over_a_cut(small_parts_server: str, cut_after: int) -> None:
    """What is not durable was kept, and is sent again."""
    data = os.urandom(10 * PART + 1)
    with CutWire(small_parts_server, cut_after=cut_after) as wire:
        async with client_of(wire.address) as client:
            result = await client.upload(arriving(data, 10_000), filename="a.bin")
            assert wire.cuts == 1
            assert await fetched(client, result.document.document_id) == data
    assert 0 < result.resent_bytes <= 4 * PART


@pytest.mark.parametrize("sha256", [None, hashlib.sha256(DATA).hexdigest()], ids=["hashed here", "digest known"])
@pytest.mark.parametrize("client_class", [AsyncLedgerLiftClient, LedgerLiftClient])
async def test_a_stream_is_read_to_where_an_earlier_run_had_come(
    peer: UploadPeer, sha256: str | None, client_class: Any
) -> None:
    """Piece by piece, of which none is kept or sent."""
    peer.fail("Upload", Fault(None, after=256), Fault(grpc.StatusCode.PERMISSION_DENIED, after=200))
    async with client_of(peer.target, SMALL) as client:
        with pytest.raises(errors.PermissionDenied) as raised:
            await client.upload(DATA, filename="a.bin")
        upload_id = raised.value.upload_id or ""
        durable = (await client.get_upload(upload_id)).persisted_size
        assert durable >= 256
        if client_class is LedgerLiftClient:
            pieces = iter([DATA[n : n + 7] for n in range(0, 1000, 7)])
            with LedgerLiftClient(peer.target, options=SMALL) as blocking:
                result = await asyncio.to_thread(blocking.resume, upload_id, pieces, sha256=sha256)
        else:
            result = await client.resume(upload_id, arriving(DATA, 7), sha256=sha256)
    assert peer.stored(result.document.document_id) == DATA
    assert min(offset for messages in peer.received[2:] for offset, _ in messages) == durable


async def test_what_an_async_iterator_raises_is_the_callers_own(peer: UploadPeer) -> None:
    """Not UNKNOWN and no retry; and what is no bytes is refused by name."""

    async def torn() -> AsyncIterator[bytes]:
        yield DATA[:300]
        raise ZeroDivisionError("disk on fire")

    async def text() -> AsyncIterator[Any]:
        yield "text"

    async with client_of(peer.target, SMALL) as client:
        with pytest.raises(ZeroDivisionError, match="disk on fire"):
            await client.upload(torn(), filename="a.bin")
        with pytest.raises(TypeError, match="gave str"):
            await client.upload(text(), filename="a.bin")
        with pytest.raises(ValueError, match="twice"):
            await client.upload(arriving(DATA, 9), filename="a.bin", dedupe="check")
    with LedgerLiftClient(peer.target) as blocking, pytest.raises(TypeError, match="asyncio client takes it"):
        blocking.upload(arriving(DATA, 9), filename="a.bin")  # type: ignore[arg-type]  # that is the point


# grpc.aio's own ways


async def test_a_refusal_in_mid_stream_is_told_as_it_is(peer: UploadPeer) -> None:
    """grpc.aio makes INTERNAL of some (grpc#36066); each costs one call, and none is tried again."""
    async with client_of(peer.target, SMALL) as client:
        for _ in range(50):
            peer.fail("Upload", Fault(grpc.StatusCode.PERMISSION_DENIED, after=100, reason="PERMISSION_DENIED"))
            events: list[TransferEvent] = []
            with pytest.raises(errors.PermissionDenied):
                await client.upload(DATA[:250], filename="a.bin", on_event=events.append)
            assert not [event for event in events if isinstance(event, Retrying)]


async def test_a_watch_that_is_left_ends_its_call(small_parts_server: str) -> None:
    """By `break`, by `aclose`, and by a cancelled task."""
    async with client_of(small_parts_server) as client:
        await client.upload(os.urandom(9), filename="a.bin")
        async for _ in client.watch_events():
            break
        events = client.watch_events()
        await anext(events)
        await events.aclose()
        waiting = asyncio.create_task(_exhaust(client.watch_events()))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def _exhaust(events: AsyncIterator[Any]) -> None:
    async for _ in events:
        pass


async def test_a_download_that_is_left_ends_its_call(small_parts_server: str) -> None:
    """Nothing more is fetched for who closes the iterator."""
    async with client_of(small_parts_server) as client:
        result = await client.upload(os.urandom(50 * PART), filename="a.bin")
        pieces = client.download_chunks(result.document.document_id)
        await anext(pieces)
        await pieces.aclose()


async def test_closing_ends_calls_with_a_word(peer: UploadPeer) -> None:
    """A task whose call ends because the client is closed is not cancelled: it is told that the client is closed."""
    peer.fail("GetDocument", Fault(hang=PATIENCE))
    client = AsyncLedgerLiftClient(peer.target, options=SMALL)
    task = asyncio.create_task(client.get("d"))
    assert await asyncio.to_thread(peer.hanging.wait, PATIENCE)
    await client.close()
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await task
    with pytest.raises(RuntimeError, match="closed"):
        await client.upload(b"x", filename="a.bin")


async def test_a_call_that_grpc_does_not_end_is_not_waited_for(
    peer: UploadPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever, should the transport miss its deadline; and closing is bounded as well."""

    class Stuck(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            await asyncio.Event().wait()

    monkeypatch.setattr("ledgerlift_client._aio._calls.OVERDUE", 0.1)
    monkeypatch.setattr("ledgerlift_client._aio._calls.CLOSE_PATIENCE", 0.1)
    async with asyncio.timeout(PATIENCE), client_of(peer.target, SMALL, interceptors=[Stuck()]) as client:
        with pytest.raises(errors.DeadlineExceeded, match="did not end"):
            await client.get("d", timeout=0.2)
        assert (await client.upload(DATA[:100], filename="a.bin")).document.size == 100
        channel = client._calls._channel
        assert channel is not None
        with monkeypatch.context() as patched:
            patched.setattr(channel, "close", asyncio.Event().wait)
            await client.close()
        await channel.close()


async def test_interceptors_see_every_call(peer: UploadPeer) -> None:
    """Tokens and traces are added by grpc's own means, and uploads go on over breaks as without them."""
    seen = []

    class SpyStreams(grpc.aio.StreamUnaryClientInterceptor):
        async def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
            seen.append(details.method)
            return await continuation(details, requests)

    class Spy(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            seen.append(details.method)
            return await continuation(details, request)

    peer.fail("Upload", Fault(after=100))
    async with client_of(peer.target, SMALL, interceptors=[Spy(), SpyStreams()]) as client:
        result = await client.upload(DATA, filename="a.bin")
        with pytest.raises(errors.DocumentNotFound):
            await client.get("d")
    assert peer.stored(result.document.document_id) == DATA
    assert {name.rpartition(b"/")[2] for name in seen} == {b"CreateUpload", b"Upload", b"GetDocument"}


def test_one_client_belongs_to_one_loop(peer: UploadPeer) -> None:
    """It can be made before any loop runs; a second loop is told, and does not hang."""
    client = AsyncLedgerLiftClient(peer.target, options=SMALL)
    document_id = peer.add_document(DATA)

    async def use() -> None:
        assert (await client.get(document_id)).size == 1000

    with asyncio.Runner() as runner:
        runner.run(use())
        with asyncio.Runner() as other, pytest.raises(RuntimeError, match="another event loop"):
            other.run(use())
        runner.run(client.close())


def test_a_wrong_target_is_told_when_the_client_is_made() -> None:
    """And not by its first call."""
    with pytest.raises(ValueError, match="host:port"):
        AsyncLedgerLiftClient("nowhere")


# The same face


def test_both_clients_have_the_same_methods() -> None:
    """With the same parameters and defaults, but for `cancel`, which a task does not need."""

    def face(client: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [
                (parameter.name, parameter.kind, parameter.default)
                for parameter in inspect.signature(method).parameters.values()
                if parameter.name != "cancel"
            ]
            for name, method in inspect.getmembers(client, callable)
            if not name.startswith("_") or name == "__init__"
        }

    assert face(AsyncLedgerLiftClient) == face(LedgerLiftClient)
    for name in face(AsyncLedgerLiftClient):
        assert inspect.getdoc(getattr(AsyncLedgerLiftClient, name)), name
    assert AsyncLedgerLiftClient.from_env({"LEDGERLIFT_TARGET": "localhost:1"}).target == "localhost:1"


def test_who_does_not_use_it_does_not_load_it() -> None:
    """The import of the package stays as light as it was."""
    code = (
        "import ledgerlift_client, sys; print([name for name in sys.modules if '_aio.' in name and 'ledger' in name])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
