"""An upload that ends without a document: OK with what is durable for who accepts that, else an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.running_server import RunningServer

from tests.support.raw_calls import begin, digest, session, until_durable
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import Refusal, refusal_of, refused
from tests.support.server import in_process_server

KIB = 1024
PART = 64 * KIB
SENT = PART + PART // 2
"""A whole part, and half of one that is not durable yet."""

End = Callable[[RunningServer, Any], Awaitable[None]]


async def close(_server: RunningServer, call: Any) -> None:
    """The client ends its stream, as after a segment, or as one that is cut off looks to the server."""
    await call.done_writing()


async def drain(server: RunningServer, _call: Any) -> None:
    """The server is told to stop."""
    await server.drain()


async def wait(_server: RunningServer, _call: Any) -> None:
    """Nothing happens any more."""


SITUATIONS: dict[str, tuple[End, dict[str, Any], float, tuple[Code, str], float | None]] = {
    # What ends the call, settings, the call's own time: the stop reason, and the error in its place.
    "SEGMENT_END": (close, {}, 60.0, (Code.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE"), None),
    "DRAINING": (drain, {}, 60.0, (Code.UNAVAILABLE, "DRAINING"), 0.2),
    "STALLED": (wait, {"upload_stall_timeout": 1.0}, 60.0, (Code.UNAVAILABLE, "UPLOAD_STALLED"), 1.0),
    "DEADLINE": (wait, {}, 3.0, (Code.UNAVAILABLE, "UPLOAD_DEADLINE"), 1.0),
}


async def ended_call(folder: Path, situation: str, *, accept_partial: bool) -> tuple[Any, str, tuple[str, int]]:
    """The answer or Refusal of a call that sent one and a half parts; its session, and what became of that."""
    end, settings, timeout, _, _ = SITUATIONS[situation]
    sizes: dict[str, Any] = {"upload_part_size": PART, "upload_segment_size": 3 * PART, "max_file_size": 100 * PART}
    async with (
        in_process_server(folder, **(sizes | settings)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        upload_id = await begin(channel)
        call = uploads(channel).Upload(timeout=timeout, metadata=(("x-request-id", situation),))
        first = pb.UploadRequest(upload_id=upload_id, accept_partial=accept_partial, data=content(1, SENT))
        await call.write(first)
        await until_durable(channel, upload_id, PART)
        await end(server, call)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            answer = refusal_of(error, situation)
        return answer, upload_id, await session(channel, upload_id)


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_who_accepts_a_partial_upload_is_told_what_is_durable(tmp_path: Path, situation: str) -> None:
    """OK with the session and why: the whole parts stay, what was no whole part is to be sent again."""
    answer, upload_id, state = await ended_call(tmp_path, situation, accept_partial=True)
    assert answer.WhichOneof("result") == "upload"
    assert pb.StopReason.Name(answer.stop_reason) == f"STOP_REASON_{situation}"
    assert (answer.upload.upload_id, answer.upload.persisted_size) == (upload_id, PART)
    assert (answer.upload.part_size, answer.upload.segment_size) == (PART, 3 * PART)
    assert answer.receipt == pb.UploadReceipt(bytes_received=SENT, part_count=1)
    assert state == ("ACTIVE", PART)


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_for_all_others_it_is_an_error(tmp_path: Path, situation: str) -> None:
    """Never OK without a document for a plain stub; session and durable size stand in the details."""
    _, _, _, kind, retry_after = SITUATIONS[situation]
    refusal, upload_id, state = await ended_call(tmp_path, situation, accept_partial=False)
    assert isinstance(refusal, Refusal)
    assert (refusal.kind, refusal.retry_after) == (kind, retry_after)
    assert refusal.facts == {"upload_id": upload_id, "persisted_size": str(PART)}
    assert state == ("ACTIVE", PART)


@pytest.mark.parametrize("accept_partial", [False, True])
async def test_what_was_durable_is_gone_on_with(tmp_path: Path, accept_partial: bool) -> None:
    """From the size that the answer told, over another server, to the whole document."""
    data = content(1, 3 * PART)
    answer, upload_id, _ = await ended_call(tmp_path, "DRAINING", accept_partial=accept_partial)
    durable = answer.upload.persisted_size if accept_partial else int(answer.facts["persisted_size"])
    async with (
        in_process_server(tmp_path, upload_part_size=PART, max_file_size=100 * PART) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        rest = messages(data, durable, finish=True, upload_id=upload_id)
        answer = await uploads(channel).Upload(rest, timeout=60)
    assert answer.document.sha256 == digest(data)
    assert answer.receipt.bytes_received == len(data) - durable


async def test_a_stream_without_a_message(tmp_path: Path) -> None:
    """It has no session to tell of: closed it is incomplete, silent it has stalled, drained it is sent elsewhere."""
    async with (
        in_process_server(tmp_path, upload_stall_timeout=0.2) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        refusal = await refused(uploads(channel).Upload, iter(()))
        assert (refusal.kind, refusal.facts) == ((Code.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE"), {})
        silent = uploads(channel).Upload(timeout=60, metadata=(("x-request-id", "silent"),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent
        assert refusal_of(caught.value, "silent").kind == (Code.UNAVAILABLE, "UPLOAD_STALLED")
        await server.drain()
        first = pb.UploadRequest(spec=spec(), accept_partial=True, data=b"x", finish_write=True)
        refusal = await refused(uploads(channel).Upload, iter([first]))
        assert (refusal.kind, refusal.retry_after) == ((Code.UNAVAILABLE, "DRAINING"), 0.2)
