"""Upload sessions over the wire: what is told of them, how they are listed, watched and given up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.invariants import tidied
from tests.support.raw_calls import begin, digest, store, until_durable
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.server import in_process_server
from tests.support.stores import Stores, embedded

KIB = 1024


async def send_part(channel: Any, upload_id: str, data: bytes, start: int = 0, stop: int | None = None) -> None:
    """One call with a piece of the document, which ends without it."""
    stream = messages(data, start, stop, upload_id=upload_id, accept_partial=True)
    await uploads(channel).Upload(stream, timeout=60)


async def test_a_session_tells_what_is_known_of_it(tmp_path: Path) -> None:
    """The spec as it was given, its sizes, and how long it lives: longer with each stored part."""
    stores = embedded(tmp_path)
    part = stores.part_size
    described = spec("r", key="k", metadata={"a": "b"}, size=3 * part, sha256=digest(b"some"))
    described.duplicate_policy = pb.DUPLICATE_POLICY_REJECT
    async with stores.channel(upload_session_lifetime=3600.0) as channel:
        opened = (await uploads(channel).CreateUpload(pb.CreateUploadRequest(spec=described))).upload
        assert (opened.spec, opened.state) == (described, pb.UPLOAD_STATE_ACTIVE)
        assert (opened.persisted_size, opened.part_size, opened.document_id) == (0, part, "")
        assert opened.segment_size % opened.part_size == 0
        lifetime = opened.expire_time.ToDatetime() - opened.create_time.ToDatetime()
        assert abs(lifetime - timedelta(hours=1)) < timedelta(seconds=1)
        call = uploads(channel).Upload(timeout=60)
        seen = [opened]
        for sent in (1, 2):
            await call.write(pb.UploadRequest(upload_id=opened.upload_id if sent == 1 else None, data=bytes(part)))
            await until_durable(channel, opened.upload_id, sent * part)
            now = (await uploads(channel).GetUpload(pb.GetUploadRequest(upload_id=opened.upload_id))).upload
            assert now.expire_time.ToDatetime() > seen[-1].expire_time.ToDatetime()
            assert now.update_time.ToDatetime() > seen[-1].update_time.ToDatetime()
            seen.append(now)
        call.cancel()


async def test_giving_up_is_repeatable_and_leaves_nothing(stores: Stores) -> None:
    """CancelUpload answers the same again and again; the open stream ends, and the stored parts go."""
    async with stores.channel() as channel:
        upload_id = await begin(channel)
        call = uploads(channel).Upload(timeout=60)
        for message in messages(bytes(stores.part_size), upload_id=upload_id):
            await call.write(message)
        await until_durable(channel, upload_id, stores.part_size)
        answers = [await uploads(channel).CancelUpload(pb.CancelUploadRequest(upload_id=upload_id)) for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert answers[0].upload.state == pb.UPLOAD_STATE_CANCELLED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is Code.FAILED_PRECONDITION
    assert (await tidied(stores)).objects == frozenset()


async def test_lists_of_sessions(stores: Stores) -> None:
    """By request id, by state, both, and page by page, newest first."""
    async with stores.channel() as channel:

        async def listed(**request: Any) -> list[str]:
            answer = await uploads(channel).ListUploads(pb.ListUploadsRequest(**request))
            return [upload.spec.request_id for upload in answer.uploads]

        for request_id in ("a", "b", "c", ""):
            await begin(channel, request_id=request_id)
        await store(channel, b"x", request_id="b")
        gone = await begin(channel, request_id="c")
        await uploads(channel).CancelUpload(pb.CancelUploadRequest(upload_id=gone))
        await begin(channel, request_id="c")

        assert await listed() == ["c", "", "c", "b", "a"]
        assert await listed(request_id="c") == ["c", "c"]
        assert await listed(state=pb.UPLOAD_STATE_ACTIVE) == ["c", "", "a"]
        assert await listed(state=pb.UPLOAD_STATE_COMMITTED) == ["b"]
        assert await listed(request_id="c", state=pb.UPLOAD_STATE_CANCELLED) == ["c"]
        assert await listed(request_id="nobody's") == []
        pages = []
        token = ""
        while True:
            answer = await uploads(channel).ListUploads(pb.ListUploadsRequest(page_size=2, page_token=token))
            pages.append([upload.spec.request_id for upload in answer.uploads])
            if not (token := answer.next_page_token):
                break
        assert pages == [["c", ""], ["c", "b"], ["a"]]


async def test_a_watch_shows_progress_and_ends_with_the_session(stores: Stores) -> None:
    """What is durable never decreases; the last answer is the final state, and who comes later gets that alone."""
    part = stores.part_size
    data = content(1, 2 * part + 10)
    async with stores.channel() as channel:
        upload_id = await begin(channel)
        request = pb.WatchUploadRequest(upload_id=upload_id)
        watch = uploads(channel).WatchUpload(request, timeout=60)
        sizes = [(await watch.read()).upload.persisted_size]
        for stop in (part, 2 * part):
            await send_part(channel, upload_id, data, stop - part, stop)
        end = messages(data, 2 * part, finish=True, upload_id=upload_id)
        stored = await uploads(channel).Upload(end, timeout=60)
        while (answer := await watch.read()) is not grpc.aio.EOF:
            last = answer.upload
            sizes.append(last.persisted_size)
        assert sizes == sorted(sizes)
        assert (sizes[0], sizes[-1]) == (0, len(data))
        assert (last.state, last.document_id) == (pb.UPLOAD_STATE_COMMITTED, stored.document.document_id)
        assert await watch.code() is Code.OK
        (late,) = [answer.upload async for answer in uploads(channel).WatchUpload(request, timeout=60)]
        assert late == last


async def test_the_limits_are_the_settings(tmp_path: Path) -> None:
    """What GetLimits tells is what this server does."""
    told: dict[str, Any] = {
        "max_file_size": 5_000_000,
        "max_message_size": 256 * KIB,
        "upload_part_size": 64 * KIB,
        "upload_segment_size": 150 * KIB,
        "upload_session_lifetime": 90.5,
        "request_id_lifetime": 7200.0,
        "upload_stall_timeout": 12.25,
        "allowed_content_types": ("text/*", "application/pdf"),
    }
    async with (
        in_process_server(tmp_path, **told) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        limits = (await uploads(channel).GetLimits(pb.GetLimitsRequest())).limits
    assert (limits.max_document_size, limits.max_message_size) == (5_000_000, 256 * KIB)
    assert (limits.part_size, limits.segment_size) == (64 * KIB, 192 * KIB)  # a multiple of the part
    assert limits.session_lifetime.ToTimedelta() == timedelta(seconds=90.5)
    assert limits.request_id_lifetime.ToTimedelta() == timedelta(hours=2)
    assert limits.stall_timeout.ToTimedelta() == timedelta(seconds=12.25)
    assert tuple(limits.allowed_content_types) == told["allowed_content_types"]
    assert limits.max_metadata_entries == 64
