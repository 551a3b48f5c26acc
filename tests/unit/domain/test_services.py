"""The unary side of uploads and documents, the watch of an upload, and the feed of events."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.document_service import DocumentService
from ledgerlift_server.domain.event_feed import EventFeed
from ledgerlift_server.domain.models import DocumentFilter, EventFilter, ProcessingStatus
from ledgerlift_server.domain.upload_models import UploadFilter, UploadSession, UploadState
from ledgerlift_server.domain.upload_stream import Stopped

from tests.support.domain_objects import DOCUMENT_ID, SHA_A, caller, spec
from tests.support.loop_clock import turns, until
from tests.support.upload_calls import committed
from tests.support.upload_rig import OPTIONS, PART, Gate, Replica, Script, UploadRig, content, digest, message, stream

# Sessions


async def test_a_session_is_opened_once_for_each_request_id(replica: Replica) -> None:
    """And is nobody's until a stream takes it."""
    first = await replica.uploads.open(caller(), spec(request_id="r", size=10))
    again = await replica.uploads.open(caller(), spec(request_id="r"))
    assert (first.created, again.created) == (True, False)
    assert first.session == again.session
    assert (first.session.epoch, first.session.state) == (0, UploadState.ACTIVE)
    with pytest.raises(errors.RequestIdReused):
        await replica.uploads.open(caller(), spec(request_id="r", size=11))
    other = await replica.uploads.open(caller("bob"), spec(request_id="r"))
    assert other.session.upload_id != first.session.upload_id


async def test_an_invalid_spec_opens_nothing(replica: Replica) -> None:
    """All violations, before the database is asked."""
    with pytest.raises(errors.InvalidRequest):
        await replica.uploads.open(caller(), spec(filename="a/b"))
    with pytest.raises(errors.DocumentTooLarge):
        await replica.uploads.open(caller(), spec(size=2**40))
    assert replica.ledger.calls == []


async def test_large_documents_get_larger_parts(replica: Replica) -> None:
    """Decided when the session is opened, from the declared size."""
    small = await replica.uploads.open(caller(), spec(size=10))
    assert small.session.part_size == PART


async def test_a_session_is_seen_by_its_owner_only(replica: Replica) -> None:
    """Get, cancel, list and watch."""
    session = (await replica.uploads.open(caller(), spec())).session
    stranger = caller("mallory")
    for call in (replica.uploads.get, replica.uploads.cancel):
        with pytest.raises(errors.UploadNotFound):
            await call(stranger, session.upload_id)
    with pytest.raises(errors.UploadNotFound):
        await anext(replica.uploads.watch(stranger, session.upload_id))
    listed = await replica.uploads.list(stranger, UploadFilter(), page_size=10, page_token="")
    assert listed.items == ()
    listed = await replica.uploads.list(caller(), UploadFilter(), page_size=10, page_token="")
    assert [one.upload_id for one in listed.items] == [session.upload_id]
    assert (await replica.uploads.get(caller(), session.upload_id))[0].state is UploadState.ACTIVE


async def test_giving_up_may_be_repeated_but_not_after_the_end(replica: Replica) -> None:
    """A committed upload cannot be given up."""
    session = (await replica.uploads.open(caller(), spec())).session
    for _ in range(2):
        assert (await replica.uploads.cancel(caller(), session.upload_id)).state is UploadState.CANCELLED
    await committed(replica.run(*stream(content(5), to=spec())))
    with pytest.raises(errors.UploadAlreadyCommitted):
        await replica.uploads.cancel(caller(), replica.announced[-1].upload_id)


async def test_digests_are_looked_up_in_the_order_asked(rig: UploadRig, replica: Replica) -> None:
    """Each once, the unknown ones left out, other owners' never."""
    one = (await committed(replica.run(*stream(content(5), to=spec())))).document
    two = (await committed(replica.run(*stream(content(9), to=spec())))).document
    await committed(replica.run(*stream(content(11), to=spec()), by=caller("bob")))
    asked = [two.sha256, digest(content(11)), SHA_A, one.sha256, two.sha256]
    found = await replica.uploads.check_digests(caller(), asked)
    assert [(entry.sha256, entry.document_id, entry.size) for entry in found] == [
        (two.sha256, two.document_id, 9),
        (one.sha256, one.document_id, 5),
    ]


# Watching an upload


async def test_a_watch_tells_every_change_until_the_end(rig: UploadRig, replica: Replica) -> None:
    """The present state first, durable bytes as they grow, and the final state last."""
    source = Script(message(content(PART), to=spec()))
    running = asyncio.create_task(replica.run(source=source))
    await until(lambda: replica.ledger.done["record_parts"] == 1)
    upload_id = replica.announced[0].upload_id
    seen: list[UploadSession] = []

    async def watch() -> None:
        async for session in replica.uploads.watch(caller(), upload_id):
            seen.append(session)

    watching = asyncio.create_task(watch())
    await until(lambda: len(seen) > 0)
    source.send(message(content(2 * PART)))
    await until(lambda: seen[-1].persisted_size == 3 * PART)
    source.send(message(finish=True))
    await committed(running)
    await watching
    assert seen[0].persisted_size == PART
    assert (seen[-1].state, seen[-1].persisted_size) == (UploadState.COMMITTED, 3 * PART)
    told = [(one.persisted_size, one.state) for one in seen]
    assert len(set(told)) == len(told), "nothing is told twice"
    assert [size for size, _ in told] == sorted(size for size, _ in told)


async def test_an_old_pulse_is_not_told_as_a_change(rig: UploadRig, replica: Replica) -> None:
    """What is known of the session was read before its last change; the watcher has read it since."""
    source = Script(message(to=spec()))
    running = asyncio.create_task(replica.run(source=source))
    await until(lambda: source.waiting and replica.ledger.done["pulse"] > 0)
    replica.ledger.before["pulse"] = Gate()  # no newer one comes
    source.send(message(content(PART)))
    await rig.durable(PART)
    async with aclosing(cast(Any, replica.uploads.watch(caller(), replica.announced[0].upload_id))) as watch:
        assert (await anext(watch)).persisted_size == PART
        told = asyncio.create_task(anext(watch))
        await until(lambda: replica.ledger.done["get"] == 2)
        await turns()
        assert not told.done()
        told.cancel()
        await asyncio.gather(told, return_exceptions=True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_watch_on_the_same_server_does_not_wait_for_the_poll(rig: UploadRig) -> None:
    """A part that becomes durable is looked at as soon as the spacing of looks allows, a tenth of the interval."""
    replica = rig.replica(replace(OPTIONS, result_poll=1000.0, stall_timeout=10_000.0))
    source = Script(message(to=spec()))
    running = asyncio.create_task(replica.run(source=source))
    await until(lambda: source.waiting and replica.ledger.done["pulse"] == 1)
    watch = cast(Any, replica.uploads.watch(caller(), replica.announced[0].upload_id))
    async with aclosing(watch):
        await anext(watch)
        told = asyncio.create_task(anext(watch))
        source.send(message(content(PART)))
        await rig.durable(PART)
        await rig.clock.advance(150.0)
        assert (await told).persisted_size == PART
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_watch_on_another_server_tells_it_too(rig: UploadRig, replica: Replica) -> None:
    """A poll later."""
    other = rig.replica()
    left = await replica.run(*stream(content(PART), to=spec(), finish=False))
    assert isinstance(left, Stopped)
    async with aclosing(cast(Any, other.uploads.watch(caller(), left.session.upload_id))) as watch:
        assert (await anext(watch)).persisted_size == PART
        await replica.uploads.cancel(caller(), left.session.upload_id)
        told = asyncio.create_task(anext(watch))
        assert (await told).state is UploadState.CANCELLED
        with pytest.raises(StopAsyncIteration):
            await anext(watch)


async def test_a_change_between_the_look_and_the_watch_is_told(rig: UploadRig, replica: Replica) -> None:
    """Nothing that happens meanwhile is missed."""
    session = (await replica.uploads.open(caller(), spec())).session
    gate = replica.ledger.after["get"] = Gate()
    watch = cast(Any, replica.uploads.watch(caller(), session.upload_id))
    first = asyncio.create_task(anext(watch))
    await until(lambda: gate.arrived == 1)
    await rig.ledger.cancel(caller(), session.upload_id)
    gate.open()
    assert (await first).state is UploadState.ACTIVE
    then = asyncio.create_task(anext(watch))
    assert (await then).state is UploadState.CANCELLED
    await watch.aclose()


async def test_watching_what_has_ended_ends_at_once(replica: Replica) -> None:
    """One message, the final state."""
    await committed(replica.run(*stream(content(5), to=spec())))
    watch = replica.uploads.watch(caller(), replica.announced[0].upload_id)
    assert [session.state async for session in watch] == [UploadState.COMMITTED]


# Documents


@pytest.fixture
def removals() -> list[None]:
    """One entry for each time that the janitor was woken."""
    return []


@pytest.fixture
def service(rig: UploadRig, removals: list[None]) -> DocumentService:
    """Documents over `rig`."""
    return DocumentService(rig.documents, on_removals=lambda: removals.append(None))


@pytest.mark.parametrize("call", ["get", "delete"])
async def test_a_malformed_id_is_not_an_unknown_one(service: DocumentService, call: str) -> None:
    """Different mistakes, different answers."""
    with pytest.raises(errors.InvalidRequest, match="document_id"):
        await getattr(service, call)(caller(), "nonsense")
    with pytest.raises(errors.DocumentNotFound):
        await getattr(service, call)(caller(), DOCUMENT_ID)


async def test_a_deleted_documents_bytes_go_at_once(
    rig: UploadRig, replica: Replica, service: DocumentService, removals: list[None]
) -> None:
    """The janitor is woken; deleting once more is fine."""
    document = (await committed(replica.run(*stream(content(5), to=spec())))).document
    for _ in range(2):
        await service.delete(caller(), document.document_id)
    assert removals
    await replica.janitor.run_once(full=False, drift=False)
    assert await rig.objects() == set()
    with pytest.raises(errors.DocumentNotFound):
        await service.get(caller(), document.document_id)


async def test_another_owners_documents_are_an_empty_list(replica: Replica, service: DocumentService) -> None:
    """Asking for them by name is no error, and no information."""
    document = (await committed(replica.run(*stream(content(5), to=spec())))).document

    async def listed(owner: str) -> list[str]:
        page = await service.list(caller(), DocumentFilter(), owner, page_size=10, page_token="")
        return [one.document_id for one in page.items]

    assert await listed("") == [document.document_id]
    assert await listed("alice") == [document.document_id]
    assert await listed("bob") == []


@pytest.mark.parametrize(
    ("status", "error_message", "field"),
    [
        (None, "", "status"),
        (ProcessingStatus.FAILED, "", "error_message"),
        (ProcessingStatus.PROCESSING, "why", "error_message"),
        (ProcessingStatus.COMPLETED, "why", "error_message"),
        (ProcessingStatus.FAILED, "x" * 2049, "error_message"),
    ],
)
async def test_a_wrong_status_update_is_refused_by_field(
    service: DocumentService, status: ProcessingStatus | None, error_message: str, field: str
) -> None:
    """A failure says why, and nothing else does."""
    with pytest.raises(errors.InvalidRequest, match=field):
        await service.set_status(caller(), DOCUMENT_ID, status, error_message, "")


async def test_a_status_moves_once_for_each_request(replica: Replica, service: DocumentService) -> None:
    """A repeated request changes nothing; without an id of its own the call's counts."""
    document = (await committed(replica.run(*stream(content(5), to=spec())))).document
    move = (document.document_id, ProcessingStatus.PROCESSING, "", "")
    assert (await service.set_status(caller(request_id="a"), *move)).status is ProcessingStatus.PROCESSING
    assert (await service.set_status(caller(request_id="a"), *move)).status is ProcessingStatus.PROCESSING
    with pytest.raises(errors.InvalidStatusTransition):
        await service.set_status(caller(request_id="b"), *move)


async def test_an_event_of_the_callers_own_is_recorded_once(replica: Replica, service: DocumentService) -> None:
    """And the service's own names are not to be had."""
    document = (await committed(replica.run(*stream(content(5), to=spec())))).document
    first, again = [
        await service.record_event(caller(), document.document_id, "ocr.done", {"pages": "3"}, "e1") for _ in range(2)
    ]
    assert first == again
    with pytest.raises(errors.InvalidRequest, match="type"):
        await service.record_event(caller(), document.document_id, "document.deleted", {}, "e2")
    where = EventFilter(document_id=document.document_id)
    page = await service.list_events(caller(), where, page_size=10, page_token="")
    assert [event.type for event in page.items] == ["document.created", "ocr.done"]
    assert (await service.stats(caller())).total.documents == 1


# The feed


async def test_the_feed_tells_each_event_once_and_in_order(
    rig: UploadRig, replica: Replica, service: DocumentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any cursor, over several batches, and goes on with what comes later."""
    monkeypatch.setattr("ledgerlift_server.domain.event_feed.BATCH", 3)
    document = (await committed(replica.run(*stream(content(5), to=spec())))).document
    for number in range(7):
        await service.record_event(caller(), document.document_id, f"step.{number}", {}, f"e{number}")
    feed = EventFeed(rig.documents, interval=10.0).watch(caller(), EventFilter(), "")
    async with aclosing(cast(Any, feed)) as watch:
        seen = [await anext(watch) for _ in range(8)]
        assert [event.type for event in seen] == ["document.created", *(f"step.{number}" for number in range(7))]
        later = asyncio.create_task(anext(watch))
        await asyncio.sleep(0.02)
        await service.record_event(caller(), document.document_id, "late", {}, "late")
        await asyncio.sleep(0.02)
        assert not later.done()
        await rig.clock.advance(10.1)
        assert (await later).type == "late"
    resumed = EventFeed(rig.documents, interval=10.0).watch(caller(), EventFilter(), seen[4].cursor)
    async with aclosing(cast(Any, resumed)) as watch:
        assert (await anext(watch)).type == "step.4"


async def test_a_bad_cursor_is_refused(rig: UploadRig) -> None:
    """At once, not after an endless wait."""
    with pytest.raises(errors.InvalidRequest):
        await anext(EventFeed(rig.documents, interval=10.0).watch(caller(), EventFilter(), "?"))
