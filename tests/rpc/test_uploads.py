"""Uploads over the wire where nothing is wrong: sizes, offsets, resuming. Sessions have `test_upload_sessions.py`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from crc32c import crc32c
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.invariants import tidied
from tests.support.raw_calls import begin, digest, fetch, session, store, until_durable
from tests.support.raw_uploads import UPLOAD_ID_HEADER, content, messages, spec, uploads
from tests.support.refusals import refused
from tests.support.stores import Stores, embedded

PERSISTED_SIZE_HEADER = "ledgerlift-persisted-size"
KIB = 1024
M = pb.UploadRequest


def channel_to(stores: Stores, **settings: Any) -> AbstractAsyncContextManager[grpc.aio.Channel]:
    """A server that takes a whole part in one message, also where parts are large."""
    return stores.channel(max_message_size=stores.part_size + 100 * KIB, **settings)


async def send(channel: Any, *stream: pb.UploadRequest) -> Any:
    """The answer to one call with these messages."""
    return await uploads(channel).Upload(iter(stream), timeout=60)


# Sizes.


async def test_a_document_without_a_byte(stores: Stores) -> None:
    """Zero is a size: declared or not, in one message or in two, it is a document with a digest and no chunk."""
    empty = digest(b"")
    streams = [
        [M(spec=spec(key="a"), finish_write=True)],
        [M(spec=spec(key="b", size=0, sha256=empty)), M(finish_write=True)],
        [M(spec=spec(key="c")), M(write_offset=0, crc32c=0, finish_write=True, size=0, sha256=empty)],
    ]
    async with channel_to(stores) as channel:
        for stream in streams:
            stream[0].spec.duplicate_policy = pb.DUPLICATE_POLICY_CREATE_NEW
            answer = await send(channel, *stream)
            assert (answer.document.size, answer.document.sha256) == (0, empty)
            assert (answer.receipt.bytes_received, answer.receipt.sha256) == (0, empty)
            assert await fetch(channel, answer.document.document_id) == b""
    found = await tidied(stores)
    assert (len(found.documents), len(found.objects)) == (3, 1)


@pytest.mark.parametrize("declared", [False, True], ids=["unknown-size", "known-size"])
async def test_documents_around_the_size_of_a_part(stores: Stores, declared: bool) -> None:
    """One byte less, exactly, and one more; every byte comes back, and the receipt counts the parts."""
    part = stores.part_size
    async with channel_to(stores) as channel:
        for size, parts in ((1, 1), (part - 1, 1), (part, 1), (part + 1, 2), (2 * part, 2)):
            data = content(size, size)
            answer = await store(channel, data, **({"size": size, "sha256": digest(data)} if declared else {}))
            assert (answer.document.size, answer.document.sha256) == (size, digest(data))
            assert answer.receipt == pb.UploadReceipt(bytes_received=size, part_count=parts, sha256=digest(data))
            assert await fetch(channel, answer.document.document_id) == data


async def test_the_end_may_come_by_itself_and_bring_what_was_not_known(tmp_path: Path) -> None:
    """The last message without data: size and digest are declared there, and hold."""
    data = content(1, 200 * KIB)
    async with channel_to(embedded(tmp_path)) as channel:
        pieces = [M(data=data[n : n + 7 * KIB]) for n in range(0, len(data), 7 * KIB)]
        end = M(finish_write=True, size=len(data), sha256=digest(data))
        answer = await send(channel, M(spec=spec()), *pieces, end)
        assert await fetch(channel, answer.document.document_id) == data


# Offsets.


async def test_what_is_durable_already_is_skipped_and_checked(stores: Stores) -> None:
    """A stream's first data may begin anywhere below the durable size; each overlap still has to match its CRC."""
    part = stores.part_size
    data = content(1, 3 * part)
    async with channel_to(stores) as channel:
        upload_id = await begin(channel)
        first = await send(channel, M(upload_id=upload_id, accept_partial=True, data=data[: part + 10]))
        assert (first.upload.persisted_size, first.receipt.bytes_received) == (part, part + 10)

        overlap = data[:part]
        wrong = M(upload_id=upload_id, write_offset=0, data=overlap, crc32c=crc32c(overlap) ^ 1)
        assert (await refused(uploads(channel).Upload, iter([wrong]))).reason == "CHECKSUM_MISMATCH"
        for offset in (0, part - 1, part):
            piece = M(upload_id=upload_id, accept_partial=True, write_offset=offset, data=data[offset : part + 1])
            again = await send(channel, piece)
            assert (again.upload.persisted_size, again.receipt.bytes_skipped) == (part, part - offset)
        half = part // 2
        rest = messages(data, half, finish=True, upload_id=upload_id)  # in messages that end where they like
        answer = await uploads(channel).Upload(rest, timeout=60)
    assert answer.document.sha256 == digest(data)
    assert (answer.receipt.bytes_received, answer.receipt.bytes_skipped) == (len(data) - half, half)
    assert answer.receipt.part_count == 3


async def test_a_message_without_an_offset_goes_on_where_the_stream_is(tmp_path: Path) -> None:
    """Behind the one before; the first of a resumed session at its durable size, the first with a spec at 0."""
    stores = embedded(tmp_path)
    part = stores.part_size
    data = content(1, 3 * part + 5)
    async with channel_to(stores) as channel:
        described = spec("r")
        await send(
            channel, M(spec=described, accept_partial=True), M(data=data[:part]), M(data=data[part : 2 * part])
        )
        by_id = await begin(channel, request_id="r")
        answer = await send(channel, M(upload_id=by_id, accept_partial=True), M(data=data[2 * part : 3 * part]))
        assert answer.receipt == pb.UploadReceipt(bytes_received=part, part_count=3)
        answer = await send(channel, M(spec=described, data=data[:part]), M(data=data[part:], finish_write=True))
    assert answer.document.sha256 == digest(data)
    assert answer.receipt.bytes_skipped == 3 * part


# Resuming.


async def test_an_upload_goes_on_over_several_calls_and_servers(stores: Stores) -> None:
    """By its id, on a server that has never seen it: the digest is the server's own, over all of it."""
    part = stores.part_size
    data = content(1, 3 * part + 100)
    durable = 0
    upload_id = ""
    for stop in (part + 1, 2 * part, 3 * part + 50):
        async with channel_to(stores) as channel:
            upload_id = upload_id or await begin(channel, size=len(data))
            assert await session(channel, upload_id) == ("ACTIVE", durable)
            segment = messages(data, durable, stop, upload_id=upload_id, accept_partial=True)
            answer = await uploads(channel).Upload(segment, timeout=60)
            durable = answer.upload.persisted_size
            assert durable == stop // part * part
    async with channel_to(stores) as channel:
        answer = await uploads(channel).Upload(messages(data, durable, finish=True, upload_id=upload_id), timeout=60)
        assert (answer.document.sha256, answer.receipt.bytes_received) == (digest(data), len(data) - durable)
        assert await fetch(channel, answer.document.document_id) == data


async def test_the_session_is_told_before_anything_else(tmp_path: Path) -> None:
    """In the initial metadata, while the stream is still open, and on the error of a call that failed."""
    stores = embedded(tmp_path)
    data = content(1, 2 * stores.part_size)
    async with channel_to(stores) as channel:
        call = uploads(channel).Upload(timeout=60)
        await call.write(M(spec=spec("r")))
        told = dict(await call.initial_metadata())
        upload_id = str(told[UPLOAD_ID_HEADER])
        assert told[PERSISTED_SIZE_HEADER] == "0"
        await call.write(M(data=data[: stores.part_size]))
        await until_durable(channel, upload_id, stores.part_size)
        call.cancel()

        broken = uploads(channel).Upload(iter([M(upload_id=upload_id), M(data=b"x", crc32c=1)]), timeout=60)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await broken
        told = dict(caught.value.initial_metadata() or ())
        assert (told[UPLOAD_ID_HEADER], told[PERSISTED_SIZE_HEADER]) == (upload_id, str(stores.part_size))
