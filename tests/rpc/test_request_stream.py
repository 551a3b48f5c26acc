"""`rpc/request_stream.py` over a real grpc.aio server: one read at a time, and every way in which a call can end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import psutil
import pytest
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.domain.upload_message import UploadMessage
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadSpec
from ledgerlift_server.errors import InvalidRequest
from ledgerlift_server.rpc.request_stream import RequestStream
from ledgerlift_server.rpc.wire_reader import read_upload_request

Handler = Callable[[RequestStream, Any], Awaitable[bytes]]
Requests = Callable[[], AsyncIterator[bytes]]

MIB = 1024 * 1024


class Calls:
    """A channel to a server whose only method runs `handler`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel

    def upload(self, requests: AsyncIterator[bytes], *, timeout: float = 20) -> Any:
        """Begin the call; the messages are serialized already."""
        method: Any = self.channel.stream_unary("/test.Stream/Upload")
        return method(requests, timeout=timeout)


@asynccontextmanager
async def server_that_runs(handler: Handler) -> AsyncIterator[Calls]:
    """A server on port 0. When it has stopped, nothing may be left running and nothing may have been reported."""
    reported: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(str(context)))

    async def upload(request_iterator: Any, context: Any) -> bytes:
        stream = RequestStream(request_iterator)
        try:
            return await handler(stream, context)
        finally:
            stream.close()

    method: grpc.RpcMethodHandler[Any, bytes] = grpc.stream_unary_rpc_method_handler(
        upload, request_deserializer=read_upload_request
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Stream", {"Upload": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Calls(channel)
    finally:
        await server.stop(None)
        reads = [task for task in asyncio.all_tasks() if "RequestStream" in str(task.get_coro())]
        if reads:
            await asyncio.wait(reads, timeout=10)
        gc.collect()
        await asyncio.sleep(0)
        assert [read for read in reads if not read.done()] == []
        assert reported == []
        loop.set_exception_handler(None)


async def read_all(stream: RequestStream) -> list[UploadMessage]:
    """Every message up to the end, each with a copy of its data, which is borrowed until the next is asked for."""
    messages: list[UploadMessage] = []
    while True:
        await asyncio.wait({stream.pending()})
        message = stream.take()
        if message is None:
            return messages
        messages.append(replace(message, data=memoryview(bytes(message.data))))


async def sent(*messages: bytes, then: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """A client's messages; then the end, or nothing until `then`."""
    for message in messages:
        yield message
    if then is not None:
        await then.wait()


def numbered(count: int, data: bytes = b"x") -> Iterator[bytes]:
    """`count` messages, each with its place as its offset."""
    return (pb.UploadRequest(write_offset=i, data=data).SerializeToString() for i in range(count))


async def test_data_is_freed_when_the_next_message_is_asked_for() -> None:
    """grpc remembers what its iterator yielded: a stream that waits for a slow client would hold a whole message."""
    seen: list[UploadMessage] = []

    async def handler(stream: RequestStream, _: Any) -> bytes:
        await asyncio.wait({stream.pending()})
        first = stream.take()
        assert first is not None
        assert bytes(first.data) == b"x"
        seen.append(first)
        stream.pending()
        with pytest.raises(ValueError, match="released"):
            bytes(first.data)
        return b""

    async with server_that_runs(handler) as calls:
        await calls.upload(sent(*numbered(1), then=None))
    assert seen, "the handler has run to its end"


async def test_messages_arrive_as_the_domain_sees_them() -> None:
    """Unset is None, the spec is the domain's, an upload id is a plain string, and `data` is what was sent."""
    seen: list[UploadMessage] = []

    async def handler(stream: RequestStream, _: Any) -> bytes:
        seen.extend(await read_all(stream))
        return b""

    spec = pb.UploadSpec(
        filename="a.pdf",
        content_type="application/pdf",
        size=0,
        metadata={"k": "v"},
        duplicate_policy=pb.DUPLICATE_POLICY_REJECT,
        request_id="r",
    )
    messages = [
        pb.UploadRequest(spec=spec, accept_partial=True, data=b"abc", crc32c=7),
        pb.UploadRequest(upload_id="u", write_offset=3),
        pb.UploadRequest(finish_write=True, sha256="d", size=0),
    ]
    async with server_that_runs(handler) as calls:
        await calls.upload(sent(*(m.SerializeToString() for m in messages)))
    domain_spec = UploadSpec(
        filename="a.pdf",
        content_type="application/pdf",
        size=0,
        metadata={"k": "v"},
        duplicate_policy=DuplicatePolicy.REJECT,
        request_id="r",
    )
    assert seen == [
        UploadMessage(domain_spec, True, None, memoryview(b"abc"), 7, False, None, None),
        UploadMessage("u", False, 3, memoryview(b""), None, False, None, None),
        UploadMessage(None, False, None, memoryview(b""), None, True, "d", 0),
    ]


async def test_there_is_one_read_however_often_it_is_waited_for() -> None:
    """Waits that time out and are cancelled between messages lose none of them and end nothing."""
    offsets: list[int | None] = []
    first_seen = asyncio.Event()

    async def handler(stream: RequestStream, _: Any) -> bytes:
        while True:
            read = stream.pending()
            for _turn in range(50):
                assert stream.pending() is read
                waiter = asyncio.create_task(asyncio.wait({read}, timeout=0))
                await asyncio.sleep(0)
                waiter.cancel()
                await asyncio.wait({waiter})
            await asyncio.wait({read})
            message = stream.take()
            if message is None:
                return b""
            offsets.append(message.offset)
            first_seen.set()

    async def requests() -> AsyncIterator[bytes]:
        for message in numbered(20):
            yield message
            await first_seen.wait()

    async with server_that_runs(handler) as calls:
        await calls.upload(requests())
    assert offsets == list(range(20))


async def test_the_end_of_the_stream_stays_the_end() -> None:
    """Whoever asks again after the end gets the end again."""

    async def handler(stream: RequestStream, _: Any) -> bytes:
        assert len(await read_all(stream)) == 2
        assert stream.pending().done(), "there is nothing to wait for"
        assert stream.take() is None
        return b"again"

    async with server_that_runs(handler) as calls:
        assert await calls.upload(sent(*numbered(2))) == b"again"


@pytest.mark.parametrize(
    "broken",
    [b"\xff\xff", pb.UploadRequest(spec=pb.UploadSpec(filename="f", duplicate_policy=9)).SerializeToString()],  # type: ignore[arg-type] # an enum number that no client of this version sends
    ids=["malformed", "unknown policy"],
)
async def test_a_message_that_is_none_is_refused_and_never_taken_for_the_end(broken: bytes) -> None:
    """A malformed message is InvalidRequest, also for whoever asks again; what follows it is not read."""
    caught: list[InvalidRequest] = []

    async def handler(stream: RequestStream, _: Any) -> bytes:
        for _attempt in range(2):
            await asyncio.wait({stream.pending()})
            with pytest.raises(InvalidRequest) as refused:
                stream.take()
            caught.append(refused.value)
        return b""

    async with server_that_runs(handler) as calls:
        await calls.upload(sent(broken, *numbered(3)))
    assert caught[0] is caught[1]
    assert caught[0].violations[0].field in ("request", "spec.duplicate_policy")


async def abort(stream: RequestStream, context: Any) -> bytes:
    """Answer with an error while a read is outstanding."""
    await stream.pending()
    stream.take()
    stream.pending()
    await context.abort(grpc.StatusCode.UNAVAILABLE, "later")
    raise AssertionError("not reached")


async def answer(stream: RequestStream, _: Any) -> bytes:
    """Answer OK while a read is outstanding."""
    await stream.pending()
    stream.take()
    stream.pending()
    return b"early"


async def fail(stream: RequestStream, _: Any) -> bytes:
    """Raise while a read is outstanding."""
    await stream.pending()
    stream.take()
    stream.pending()
    raise RuntimeError("a defect")


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (abort, grpc.StatusCode.UNAVAILABLE),
        (answer, grpc.StatusCode.OK),
        (fail, grpc.StatusCode.UNKNOWN),
    ],
)
async def test_a_call_that_is_answered_early_leaves_nothing_behind(handler: Handler, code: grpc.StatusCode) -> None:
    """The read that is outstanding when the server answers ends by itself and is reported nowhere."""
    never = asyncio.Event()
    async with server_that_runs(handler) as calls:
        call = calls.upload(sent(*numbered(1), then=never))
        assert await call.code() is code


@pytest.mark.parametrize("how", ["cancel", "deadline", "client raises", "channel closes"])
async def test_an_aborted_call_brings_no_message_that_was_not_sent(how: str) -> None:
    """However the client leaves, the server sees an end or a cancellation: nothing else, and nothing is left."""
    seen: list[list[int | None]] = []
    ended = asyncio.Event()
    arrived = asyncio.Event()

    async def handler(stream: RequestStream, _: Any) -> bytes:
        offsets: list[int | None] = []
        seen.append(offsets)
        try:
            while True:
                await asyncio.wait({stream.pending()})
                message = stream.take()
                if message is None:
                    return b""
                offsets.append(message.offset)
                arrived.set()
        finally:
            ended.set()

    async def requests() -> AsyncIterator[bytes]:
        for message in numbered(3):
            yield message
        await arrived.wait()
        if how == "client raises":
            raise RuntimeError("the file went away")
        await asyncio.Event().wait()

    async with server_that_runs(handler) as calls:
        call = calls.upload(requests(), timeout=0.5 if how == "deadline" else 20)
        if how in ("cancel", "channel closes"):
            await arrived.wait()
        if how == "cancel":
            call.cancel()
        if how == "channel closes":
            await calls.channel.close()
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await call
        await asyncio.wait_for(ended.wait(), 10)
    assert len(seen) == 1
    assert seen[0] == list(range(len(seen[0])))


async def test_a_server_that_stops_under_a_read_leaves_nothing_behind() -> None:
    """Stopping the server at once ends the outstanding reads of all its calls."""
    reading = asyncio.Event()

    async def handler(stream: RequestStream, _: Any) -> bytes:
        stream.pending()
        reading.set()
        await asyncio.Event().wait()
        return b""

    async with server_that_runs(handler) as calls:
        calls.upload(sent(then=asyncio.Event()))
        await asyncio.wait_for(reading.wait(), 10)


async def test_a_message_that_arrives_for_a_closed_stream_is_freed() -> None:
    """Memory does not grow with calls that are answered while their client is sending."""
    waiting: asyncio.Event
    written: asyncio.Event

    async def handler(stream: RequestStream, context: Any) -> bytes:
        await stream.pending()
        stream.take()
        stream.pending()
        await asyncio.sleep(0)  # the read begins
        stream.close()
        waiting.set()
        await written.wait()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        raise AssertionError("not reached")

    async def requests() -> AsyncIterator[bytes]:
        yield b""
        await waiting.wait()
        yield large
        written.set()

    def memory() -> int:
        gc.collect()  # an aborted call is a cycle: its exception knows the frame, the frame its context
        return psutil.Process().memory_info().rss

    large = pb.UploadRequest(data=bytes(3 * MIB)).SerializeToString()
    async with server_that_runs(handler) as calls:
        for calls_made in range(90):
            if calls_made == 50:  # by then the allocators of Python and gRPC have what they keep
                before = memory()
            waiting, written = asyncio.Event(), asyncio.Event()
            assert await calls.upload(requests()).code() is grpc.StatusCode.UNAVAILABLE
            if calls_made % 10 == 0:
                gc.collect()
        grown = memory() - before
    assert grown < 60 * MIB, f"40 messages of 3 MiB were received, and {grown // MIB} MiB are kept"
