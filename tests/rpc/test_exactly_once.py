"""One `request_id` is one document, with an answer that can be asked for again (DESIGN section 4 rule 6)."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.invariants import tidied
from tests.support.raw_calls import TIMEOUT, digest, until_ended
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import Refusal, refused
from tests.support.stores import Stores, embedded

CALLERS = 50
REQUEST_ID = "invoice-7"

bodies = pytest.mark.parametrize("parts", [0, 1], ids=["one-message", "several-parts"])


def document(stores: Stores, parts: int) -> bytes:
    """So many whole parts and a bit."""
    return content(parts, parts * stores.part_size + 1000)


def send(channel: Any, data: bytes, **declared: Any) -> Any:
    """The call that uploads `data` under the one request id."""
    stream = messages(data, finish=True, spec=spec(REQUEST_ID, **declared))
    return uploads(channel).Upload(stream, timeout=TIMEOUT)


async def create(channel: Any, **declared: Any) -> Any:
    """The answer to CreateUpload under the one request id."""
    return await uploads(channel).CreateUpload(
        pb.CreateUploadRequest(spec=spec(REQUEST_ID, **declared)), timeout=TIMEOUT
    )


async def newest(channel: Any) -> str:
    """The upload id of the newest session of the one request id."""
    listed = await uploads(channel).ListUploads(pb.ListUploadsRequest(request_id=REQUEST_ID), timeout=TIMEOUT)
    upload_id: str = listed.uploads[0].upload_id
    return upload_id


async def found_once(stores: Stores, data: bytes) -> str:
    """The id of the one document that the stores hold, whole, with nothing left beside it."""
    found = await tidied(stores)
    assert [one.sha256 for one in found.documents] == [digest(data)]
    assert len(found.objects) == 1
    return found.documents[0].document_id


@bodies
async def test_fifty_callers_with_one_request_id_get_one_document(stores: Stores, parts: int) -> None:
    """At the same time, each with the whole document: every one of them gets the same answer, receipt included."""
    data = document(stores, parts)
    async with stores.channel() as channel:
        answers = await asyncio.gather(*(send(channel, data) for _ in range(CALLERS)))
        (listed,) = (await uploads(channel).ListUploads(pb.ListUploadsRequest(request_id=REQUEST_ID))).uploads
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert not answers[0].duplicate
    assert answers[0].receipt.sha256 == answers[0].document.sha256
    assert answers[0].document.document_id == listed.document_id == await found_once(stores, data)


async def test_fifty_callers_whose_digest_is_wrong_are_all_refused(stores: Stores) -> None:
    """Whoever waits for another's stream hears of its refusal; nobody is answered with a document."""
    data = document(stores, 0)
    async with stores.channel() as channel:
        wrong = [messages(data, finish=True, spec=spec(REQUEST_ID, sha256="0" * 64)) for _ in range(CALLERS)]
        refusals = await asyncio.gather(*(refused(uploads(channel).Upload, stream) for stream in wrong))
    assert {refusal.kind for refusal in refusals} == {(grpc.StatusCode.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")}
    found = await tidied(stores)
    assert (found.documents, found.objects) == ((), frozenset())
    assert {session.state for session in found.sessions} == {UploadState.FAILED}


@pytest.mark.parametrize(
    ("step", "parts"), [("committing", 1), ("completed", 1), ("published", 0), ("published", 1)]
)  # steps of `domain/steps.py`; on the last the document is there
async def test_a_client_that_leaves_during_its_commit_finds_the_document(
    stores: Stores, step: str, parts: int
) -> None:
    """Its call is cancelled at a step of the commit; asked again without a byte, the answer is the first's."""
    data = document(stores, parts)
    calls: list[Any] = []

    def leave(reached: str) -> None:
        if reached == step:
            calls[0].cancel()

    async with stores.channel(checkpoint=leave) as channel:
        calls.append(send(channel, data))
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        assert await until_ended(channel, await newest(channel)) == "COMMITTED"
        asked = [await send(channel, b"") for _ in range(2)]
    assert asked[0] == asked[1]
    assert (asked[0].receipt.bytes_received, asked[0].duplicate) == (len(data), False)
    assert asked[0].document.document_id == await found_once(stores, data)


@bodies
async def test_a_client_that_leaves_right_after_its_last_message_makes_one_document(
    stores: Stores, parts: int
) -> None:
    """Whether the server had seen the end by then or not: whoever sends it all again gets the one document."""
    data = document(stores, parts)
    async with stores.channel() as channel:
        call = uploads(channel).Upload(timeout=TIMEOUT)
        for message in messages(data, finish=True, spec=spec(REQUEST_ID)):
            await call.write(message)
        await call.done_writing()
        call.cancel()
        again = await send(channel, data)
        assert await send(channel, data) == again
    assert again.document.document_id == await found_once(stores, data)


@bodies
async def test_another_server_gives_the_answer_of_one_that_died(stores: Stores, parts: int) -> None:
    """The connection goes with the process once the document is there: the next server has document and receipt."""
    data = document(stores, parts)
    async with stores.server(crash_at="published") as first, grpc.aio.insecure_channel(first.address) as channel:
        lost = await refused(uploads(channel).Upload, messages(data, finish=True, spec=spec(REQUEST_ID)))
        assert lost.code is grpc.StatusCode.UNAVAILABLE
        assert await first.wait() == -signal.SIGKILL
    async with stores.server() as second, grpc.aio.insecure_channel(second.address) as channel:
        asked = [await send(channel, data), await send(channel, b"")]
    assert asked[0] == asked[1]
    assert (asked[0].receipt.bytes_received, asked[0].receipt.bytes_skipped) == (len(data), 0)
    assert asked[0].document.document_id == await found_once(stores, data)


async def test_twenty_callers_of_create_upload_get_one_session(stores: Stores) -> None:
    """CreateUpload is as safe to repeat as Upload is: before, during and after."""
    data = document(stores, 1)
    async with stores.channel() as channel:
        opened = await asyncio.gather(*(create(channel) for _ in range(20)))
        assert {one.upload.upload_id for one in opened} == {opened[0].upload.upload_id}
        stored = await send(channel, data)
        after = await create(channel, size=len(data))
    assert (after.upload.upload_id, after.upload.state) == (opened[0].upload.upload_id, pb.UPLOAD_STATE_COMMITTED)
    assert (after.document, after.duplicate) == (stored.document, False)


FIRST: dict[str, Any] = {"metadata": {"a": "1"}, "key": "k", "size": 1000}
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("filename", {"filename": "b.bin"}),
    ("content_type", {"content_type": "application/pdf"}),
    ("key", {"key": "l"}),
    ("metadata", {"metadata": {"a": "2"}}),
    ("duplicate_policy", {"duplicate_policy": pb.DUPLICATE_POLICY_REJECT}),
    ("size", {"size": 999}),
    ("sha256", {"sha256": "0" * 64}),
    ("filename,metadata,size", {"filename": "b.bin", "metadata": {}, "size": 999}),
]


@pytest.mark.parametrize("committed", [False, True], ids=["active", "committed"])
async def test_another_document_under_the_same_id_is_refused(tmp_path: Path, committed: bool) -> None:
    """Both ways in name what differs, and the session that holds the id."""
    data = content(0, 1000)
    declared = {**FIRST, "sha256": digest(data)}
    async with embedded(tmp_path).channel() as channel:
        upload_id = (await create(channel, **declared)).upload.upload_id
        if committed:
            await send(channel, data, **declared)
        for differing, changes in OTHERS:
            for refusal in await both_ways(channel, declared | changes):
                assert refusal.kind == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"), differing
                assert refusal.facts == {"upload_id": upload_id, "differing": differing}
                assert refusal.resource == ("upload", upload_id)


async def test_size_and_digest_may_be_learned_later(tmp_path: Path) -> None:
    """They make no other request where only one side knows them, and they count once both do: by what has arrived."""
    data = content(0, 1000)
    async with embedded(tmp_path).channel() as channel:
        upload_id = (await create(channel)).upload.upload_id
        assert (await create(channel, size=1000)).upload.upload_id == upload_id
        stored = await send(channel, data, size=1000, sha256=digest(data))
        assert (await create(channel)).document == stored.document
        for changes in ({"size": 999}, {"sha256": "0" * 64}):
            for refusal in await both_ways(channel, changes):
                assert (refusal.reason, refusal.facts["differing"]) == ("REQUEST_ID_REUSED", *changes)


async def both_ways(channel: Any, declared: dict[str, Any]) -> list[Refusal]:
    """What CreateUpload and Upload refuse a spec with."""
    described = spec(REQUEST_ID, **declared)
    return [
        await refused(uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=described)),
        await refused(uploads(channel).Upload, messages(b"", spec=described)),
    ]


@pytest.mark.parametrize("state", [UploadState.FAILED, UploadState.CANCELLED, UploadState.EXPIRED])
async def test_an_id_whose_session_ended_without_a_document_may_begin_afresh(
    tmp_path: Path, state: UploadState
) -> None:
    """A session of its own, from byte 0, and a document at its end."""
    stores = embedded(tmp_path)
    data = content(0, 1000)
    changes: dict[str, Any] = (
        {"upload_session_lifetime": 0.05, "janitor_interval": 0.05} if state is UploadState.EXPIRED else {}
    )
    async with stores.channel(**changes) as channel:
        first = (await create(channel)).upload.upload_id
        if state is UploadState.FAILED:
            wrong = messages(data, finish=True, spec=spec(REQUEST_ID, sha256="0" * 64))
            assert (await refused(uploads(channel).Upload, wrong)).reason == "CHECKSUM_MISMATCH"
        elif state is UploadState.CANCELLED:
            await uploads(channel).CancelUpload(pb.CancelUploadRequest(upload_id=first))
        assert await until_ended(channel, first) == state
    async with stores.channel() as channel:
        second = await create(channel)
        assert second.upload.upload_id != first
        assert (second.upload.state, second.upload.persisted_size) == (pb.UPLOAD_STATE_ACTIVE, 0)
        stored = await send(channel, data)
        (newest, oldest) = (await uploads(channel).ListUploads(pb.ListUploadsRequest(request_id=REQUEST_ID))).uploads
    assert (newest.upload_id, newest.document_id) == (second.upload.upload_id, stored.document.document_id)
    assert (oldest.upload_id, oldest.document_id) == (first, "")
    assert await found_once(stores, data) == stored.document.document_id
