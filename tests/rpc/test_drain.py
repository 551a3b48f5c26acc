"""A server that is told to stop: what running and new calls are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import document_service_pb2_grpc, upload_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as uploads

from tests.support.server import in_process_server

KIB = 1024
PART = 64 * KIB


class Upload:
    """An Upload call that has sent one and a half parts and stays open."""

    def __init__(self, channel: grpc.aio.Channel, *, accept_partial: bool) -> None:
        """Nothing is sent yet."""
        stub: Any = upload_service_pb2_grpc.UploadServiceStub(channel)
        self._accept_partial = accept_partial
        self.call = stub.Upload(self._messages(), timeout=60)

    async def begin(self) -> None:
        """Return once the server has told the session."""
        await self.call.initial_metadata()

    async def _messages(self) -> AsyncIterator[uploads.UploadRequest]:
        spec = uploads.UploadSpec(
            filename="a.bin", content_type="application/octet-stream", size=10 * PART, request_id="r"
        )
        yield uploads.UploadRequest(spec=spec, accept_partial=self._accept_partial, data=bytes(PART + PART // 2))
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(folder: Path, **changes: Any) -> AsyncIterator[tuple[Any, grpc.aio.Channel]]:
    """A server with small parts, and a channel to it."""
    sizes = {"upload_part_size": PART, "max_file_size": 100 * PART}
    async with (
        in_process_server(folder, **(sizes | changes)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield server, channel


def reason_and_retry(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """The stable reason, and the seconds to wait."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    packed = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    for detail in Status.FromString(packed).details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToTimedelta().total_seconds()


async def test_a_running_upload_is_answered_with_what_is_durable(tmp_path: Path) -> None:
    """Where the caller accepts a partial upload, a drain is no error: go on elsewhere, from here."""
    async with serving(tmp_path) as (server, channel):
        upload = Upload(channel, accept_partial=True)
        await upload.begin()
        await server.drain()
        answer = await upload.call
    assert answer.stop_reason == uploads.STOP_REASON_DRAINING
    assert answer.upload.persisted_size in (0, PART)  # whether the drain came before or after the message
    assert answer.upload.state == uploads.UPLOAD_STATE_ACTIVE


async def test_a_caller_that_knows_no_partial_upload_is_told_to_come_back(tmp_path: Path) -> None:
    """An upload that did not commit is never OK for a plain stub."""
    async with serving(tmp_path) as (server, channel):
        upload = Upload(channel, accept_partial=False)
        await upload.begin()
        await server.drain()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await upload.call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_and_retry(caught.value) == ("DRAINING", 0.2)


async def test_a_new_upload_is_refused_and_a_query_is_not(tmp_path: Path) -> None:
    """Until the port is closed, new streams are sent elsewhere and short calls are answered."""
    async with serving(tmp_path) as (server, channel):
        await server.drain()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Upload(channel, accept_partial=True).call
        assert reason_and_retry(caught.value) == ("DRAINING", 0.2)
        stub: Any = document_service_pb2_grpc.DocumentServiceStub(channel)
        assert not (await stub.ListDocuments(documents.ListDocumentsRequest(), timeout=30)).documents


async def test_a_watch_of_events_does_not_hold_the_server(tmp_path: Path) -> None:
    """It would go on for hours; it is told to go on elsewhere."""
    async with serving(tmp_path, shutdown_grace=60.0) as (server, channel):
        stub: Any = document_service_pb2_grpc.DocumentServiceStub(channel)
        watch = stub.WatchEvents(documents.WatchEventsRequest(), timeout=60)
        await Upload(channel, accept_partial=True).begin()  # by then the watch has arrived as well
        async with asyncio.timeout(20):  # far less than the grace
            await server.stop(60.0)
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE


async def test_upload_timeout_ends_a_call_with_what_is_durable(tmp_path: Path) -> None:
    """A caller without a deadline gets UPLOAD_TIMEOUT, and before it is over the way to go on."""
    async with serving(tmp_path, upload_timeout=3.0) as (_server, channel):
        stub: Any = upload_service_pb2_grpc.UploadServiceStub(channel)

        async def messages() -> AsyncIterator[uploads.UploadRequest]:
            spec = uploads.UploadSpec(filename="a.bin", content_type="application/octet-stream")
            yield uploads.UploadRequest(spec=spec, accept_partial=True, data=bytes(PART))
            await asyncio.Event().wait()

        async with asyncio.timeout(20):
            answer = await stub.Upload(messages())
    assert answer.stop_reason == uploads.STOP_REASON_DEADLINE
    assert answer.upload.persisted_size == PART
