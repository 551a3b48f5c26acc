"""The audit trail over the wire: complete, in order, by whom and for which call; watched without a gap."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from grpc import StatusCode as Code
from ledgerlift.v1 import document_pb2
from ledgerlift.v1 import document_service_pb2 as pb
from ledgerlift.v1 import upload_service_pb2 as uploads_pb

from tests.support.callers import ByHeader, named
from tests.support.raw_calls import begin, delete, documents, store
from tests.support.raw_uploads import uploads
from tests.support.refusals import refused
from tests.support.stores import Stores, embedded

PROCESSING = document_pb2.PROCESSING_STATUS_PROCESSING


async def trail(channel: Any, *, page_size: int = 1000, **where: Any) -> list[Any]:
    """All entries, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        request = pb.ListEventsRequest(page_size=page_size, page_token=token, **where)
        answer = await documents(channel).ListEvents(request, timeout=60)
        found += answer.events
        token = answer.next_page_token
        if not token:
            return found


async def record(channel: Any, document_id: str, kind: str, **more: Any) -> Any:
    """An entry of the caller's own."""
    request = pb.RecordEventRequest(document_id=document_id, type=kind, **more)
    return (await documents(channel).RecordEvent(request, timeout=60)).event


async def test_everything_that_happens_is_told(stores: Stores) -> None:
    """Who did it, in which call, and what; in order, page by page, and still there when the document is not."""
    async with stores.channel() as channel:
        document = (await store(channel, b"x", request_id="r", metadata={"a": "b"})).document
        request = pb.UpdateProcessingStatusRequest(document_id=document.document_id, status=PROCESSING)
        await documents(channel).UpdateProcessingStatus(request, metadata=(("x-request-id", "call-7"),))
        seen = await record(channel, document.document_id, "seen", detail={"by": "me"})
        await delete(channel, document.document_id, metadata=(("x-request-id", "call-9"),))
        given_up = await begin(channel)
        await uploads(channel).CancelUpload(uploads_pb.CancelUploadRequest(upload_id=given_up))
        everything = await trail(channel, page_size=2)
        assert [event.type for event in everything] == [
            "document.created",
            "document.status_changed",
            "seen",
            "document.deleted",
            "upload.cancelled",
        ]
        created, changed, own, deleted, cancelled = everything
        assert (created.document_id, dict(created.detail)["filename"]) == (document.document_id, document.filename)
        assert (changed.request_id, changed.to_status) == ("call-7", PROCESSING)
        assert (own.event_id, dict(own.detail)) == (seen.event_id, {"by": "me"})
        assert deleted.request_id == "call-9"
        assert (cancelled.upload_id, cancelled.document_id) == (given_up, "")
        assert {event.actor for event in everything} == {"anonymous"}
        assert [event.type for event in await trail(channel, upload_id=created.upload_id)] == ["document.created"]
        assert await trail(channel, document_id=document.document_id) == everything[:4]


async def test_an_own_entry_is_recorded_once_for_its_request_id(stores: Stores) -> None:
    """Twenty callers at once get the one entry; another entry under the same id is refused."""
    async with stores.channel() as channel:
        document_id = (await store(channel, b"x")).document.document_id
        events = await asyncio.gather(
            *(record(channel, document_id, "printed", detail={"n": "1"}, request_id="r") for _ in range(20))
        )
        assert {event.event_id for event in events} == {events[0].event_id}
        assert [event.event_id for event in await trail(channel)][1:] == [events[0].event_id]
        request = pb.RecordEventRequest(document_id=document_id, type="burnt", request_id="r")
        refusal = await refused(documents(channel).RecordEvent, request)
        assert refusal.kind == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_without_a_request_id_the_calls_own_counts(tmp_path: Path) -> None:
    """Two calls are two entries, and the same call sent again is one."""
    async with embedded(tmp_path).channel() as channel:
        document_id = (await store(channel, b"x")).document.document_id
        request = pb.RecordEventRequest(document_id=document_id, type="printed")
        ids = []
        for call in ("a", "b", "a"):
            answer = await documents(channel).RecordEvent(request, metadata=(("x-request-id", call),))
            ids.append(answer.event.event_id)
    assert ids[0] == ids[2] != ids[1]


WRITERS, ENTRIES = 4, 15


async def test_a_watch_goes_on_at_its_cursor_without_a_gap_or_a_repeat(stores: Stores) -> None:
    """It breaks every few entries while others write: in the end it has seen the whole trail, once, in order."""
    async with stores.channel() as channel:
        document_id = (await store(channel, b"x")).document.document_id

        async def write(writer: int) -> None:
            for n in range(ENTRIES):
                await record(channel, document_id, "written", detail={"n": f"{writer}.{n}"})

        writers = [asyncio.create_task(write(n)) for n in range(WRITERS)]
        seen: list[Any] = []
        cursor = ""
        async with asyncio.timeout(60):
            while len(seen) < 1 + WRITERS * ENTRIES:
                cursor = await watch_some(channel, cursor, seen, count=7)
        await asyncio.gather(*writers)
        assert [event.event_id for event in seen] == [event.event_id for event in await trail(channel)]
        told = [event.detail["n"] for event in seen[1:]]
        assert sorted(told) == sorted(f"{writer}.{n}" for writer in range(WRITERS) for n in range(ENTRIES))


async def watch_some(channel: Any, cursor: str, seen: list[Any], *, count: int) -> str:
    """Add up to `count` entries after `cursor` to `seen`, then leave; where to go on."""
    watch = documents(channel).WatchEvents(pb.WatchEventsRequest(cursor=cursor), timeout=60)
    async for answer in watch:
        seen.append(answer.event)
        cursor = answer.event.cursor
        count -= 1
        if not count or len(seen) == 1 + WRITERS * ENTRIES:
            watch.cancel()
            break
    return cursor


async def test_a_watch_of_one_document_hears_of_no_other(tmp_path: Path) -> None:
    """Nor of another owner's; and a cursor of the list is a place to begin a watch."""
    async with embedded(tmp_path).channel(authenticator=ByHeader()) as channel:
        alice = {"metadata": named("alice")}
        request = uploads_pb.UploadRequest(finish_write=True)
        ids = []
        for owner, name in (("alice", "a"), ("alice", "b"), ("bob", "c")):
            request.spec.MergeFrom(uploads_pb.UploadSpec(filename=name, content_type="text/plain"))
            request.data = name.encode()
            answer = await uploads(channel).Upload(iter([request]), metadata=named(owner))
            ids.append(answer.document.document_id)
        listed = await documents(channel).ListEvents(pb.ListEventsRequest(document_id=ids[0]), **alice)
        watch = documents(channel).WatchEvents(
            pb.WatchEventsRequest(document_id=ids[0], cursor=listed.events[-1].cursor), timeout=60, **alice
        )
        for document_id in (ids[1], ids[0]):
            await documents(channel).RecordEvent(pb.RecordEventRequest(document_id=document_id, type="seen"), **alice)
        event = (await watch.read()).event
        assert (event.document_id, event.type) == (ids[0], "seen")
        watch.cancel()
        refusal = await refused(
            documents(channel).RecordEvent, pb.RecordEventRequest(document_id=ids[2], type="seen"), **alice
        )
        assert refusal.reason == "DOCUMENT_NOT_FOUND"
