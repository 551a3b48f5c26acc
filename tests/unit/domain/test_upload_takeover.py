"""Several calls for one upload: fencing, attaching by request id, replays, and waiting for a result."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.upload_models import DuplicatePolicy, UploadState
from ledgerlift_server.domain.upload_stream import Stopped, StopReason
from ledgerlift_server.resilience.deadline import deadline_scope

from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import reports_of, turns, until
from tests.support.upload_calls import begin, committed
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Gate,
    Replica,
    Script,
    UploadRig,
    content,
    digest,
    failing,
    message,
    stream,
)

# Fencing


@pytest.mark.parametrize("same_server", [True, False])
async def test_a_newer_stream_takes_the_session_over(rig: UploadRig, replica: Replica, same_server: bool) -> None:
    """On the same server or another: the older one is told, the newer one ends the upload."""
    data = content(2 * PART + 9)
    older = Script(*stream(data, to=spec(), finish=False))
    first = begin(replica, older)
    await until(lambda: older.waiting and replica.ledger.done["record_parts"] > 0)
    upload_id = replica.announced[0].upload_id

    other = replica if same_server else rig.replica()
    newer = Script(message(to=upload_id))
    second = begin(other, newer)
    if not same_server:
        await until(lambda: newer.waiting)
    with pytest.raises(errors.UploadSuperseded) as refused:
        await first
    assert refused.value.metadata["upload_id"] == upload_id
    newer.send(message(data[other.announced[-1].persisted_size :], finish=True))
    done = await committed(second)
    await rig.check_whole(done.document, data)


async def test_a_takeover_on_the_same_server_does_not_wait_for_the_poll(rig: UploadRig) -> None:
    """It is looked at as soon as the spacing of looks allows."""
    replica = rig.replica(replace(OPTIONS, result_poll=1000.0, stall_timeout=10_000.0))
    older = Script(message(to=spec()))
    first = begin(replica, older)
    await until(lambda: older.waiting and replica.ledger.done["pulse"] == 1)
    newer = Script(message(to=replica.announced[0].upload_id))
    second = begin(replica, newer)
    await until(lambda: newer.waiting)
    await rig.clock.advance(150.0)
    with pytest.raises(errors.UploadSuperseded):
        await first
    newer.send(message(finish=True))
    await committed(second)


async def test_a_fenced_stream_writes_nothing_more(rig: UploadRig, replica: Replica) -> None:
    """A part that was on its way when a newer stream came is not recorded under the newer one's feet."""
    gate = replica.store.after["put_part"] = Gate()
    data = content(3 * PART)
    source = Script(*stream(data, to=spec(), finish=False))
    first = begin(replica, source)
    await until(lambda: gate.arrived == 3)
    other = rig.replica()
    newer = Script(message(to=replica.announced[0].upload_id))
    second = begin(other, newer)
    await until(lambda: newer.waiting)
    gate.open()
    with pytest.raises(errors.UploadSuperseded):
        await first
    assert (await rig.session()).persisted_size == 0
    newer.send(message(data, finish=True))
    await rig.check_whole((await committed(second)).document, data)


@pytest.mark.parametrize(("size", "method"), [(100, "commit_put"), (PART + 5, "begin_commit")])
async def test_a_fenced_stream_does_not_commit(rig: UploadRig, replica: Replica, size: int, method: str) -> None:
    """It had all bytes stored, but the session is another's by now."""
    gate = replica.ledger.before[method] = Gate()
    data = content(size)
    first = begin(replica, Script(*stream(data, to=spec())))
    await until(lambda: gate.arrived == 1)
    other = rig.replica()
    source = Script(message(to=replica.announced[0].upload_id))
    second = begin(other, source)
    await until(lambda: source.waiting)
    gate.open()
    with pytest.raises(errors.UploadSuperseded):
        await first
    assert await rig.all_documents() == ()
    other_bytes = content(90, seed=1)
    source.send(message(other_bytes, offset=(await rig.session()).persisted_size, finish=True))
    kept = data[: size // PART * PART]
    await rig.check_whole((await committed(second)).document, kept + other_bytes)


async def test_the_older_streams_multipart_is_not_left_behind(rig: UploadRig, replica: Replica) -> None:
    """It was fenced between making a multipart upload and recording it: that one is aborted."""
    gate = replica.ledger.before["attach_multipart"] = Gate()
    source = Script(*stream(content(PART), to=spec(), finish=False))
    first = begin(replica, source)
    await until(lambda: gate.arrived == 1)
    other, newer = rig.replica(), Script(message(to=replica.announced[0].upload_id))
    second = begin(other, newer)
    await until(lambda: newer.waiting)
    gate.open()
    with pytest.raises(errors.UploadSuperseded):
        await first
    await until(lambda: replica.store.done["abort_multipart"] == 1)
    assert list(await rig.store.list_multiparts(limit=10)) == []
    newer.send(message(content(PART), finish=True))
    await committed(second)


async def test_cancelling_a_session_ends_its_stream(rig: UploadRig, replica: Replica) -> None:
    """The uploader's other half gave it up."""
    source = Script(*stream(content(PART + 1), to=spec(), finish=False))
    running = begin(replica, source)
    await until(lambda: source.waiting)
    cancelled = await replica.uploads.cancel(caller(), replica.announced[0].upload_id)
    assert cancelled.state is UploadState.CANCELLED
    with pytest.raises(errors.UploadCancelled):
        await running
    with pytest.raises(errors.UploadCancelled):
        await replica.run(message(to=cancelled.upload_id))


# One request id


async def test_a_repeated_request_is_answered_with_the_same_document(rig: UploadRig, replica: Replica) -> None:
    """And with the receipt of the first time, though it sent nothing."""
    asked = spec(request_id="r")
    data = content(2 * PART + 9)
    first = await committed(replica.run(*stream(data, to=asked)))
    again = await committed(rig.replica().run(message(to=asked)))
    assert (again.document, again.receipt, again.duplicate) == (first.document, first.receipt, False)


async def test_a_repeated_request_after_the_document_was_deleted(rig: UploadRig, replica: Replica) -> None:
    """The id stands for what it made, which is gone."""
    asked = spec(request_id="r")
    done = await committed(replica.run(*stream(content(5), to=asked)))
    await rig.documents.delete(caller(), done.document.document_id)
    with pytest.raises(errors.DocumentNotFound):
        await replica.run(*stream(content(5), to=asked))


async def test_an_id_that_was_used_for_something_else_is_refused(rig: UploadRig, replica: Replica) -> None:
    """Before a byte is taken, and without disturbing the first."""
    source = Script(message(to=spec(request_id="r")))
    running = begin(replica, source)
    await until(lambda: source.waiting)
    with pytest.raises(errors.RequestIdReused):
        await replica.run(*stream(content(5), to=spec(request_id="r", filename="other.bin")))
    source.send(message(finish=True))
    await committed(running)


async def test_a_failed_request_may_be_made_again(rig: UploadRig, replica: Replica) -> None:
    """The same id opens a fresh session."""
    data = content(PART + 1)
    asked = spec(request_id="r")
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(*stream(data, to=spec(request_id="r", sha256="0" * 64)))
    await rig.check_whole((await committed(replica.run(*stream(data, to=asked)))).document, data)


async def test_fifty_callers_with_one_id_all_get_the_one_document(rig: UploadRig, replica: Replica) -> None:
    """Whoever is superseded waits for the result of the one that is not."""
    data = content(2 * PART + 9)
    others = rig.replica()
    calls = [
        begin(replica if number % 2 else others, Script(*stream(data, to=spec(request_id="r")), None))
        for number in range(50)
    ]
    documents = {(await committed(call)).document.document_id for call in calls}
    assert len(documents) == 1
    (document,) = await rig.all_documents()
    await rig.check_whole(document, data)


async def test_a_superseded_request_discards_what_still_comes(rig: UploadRig, replica: Replica) -> None:
    """Its client is not held up by flow control; garbage at the end does not change the answer."""
    asked = spec(request_id="r")
    older = Script(message(content(5), to=asked))
    first = begin(replica, older)
    await until(lambda: older.waiting)
    newer = Script(message(to=asked))
    second = begin(replica, newer)
    await until(lambda: newer.waiting)
    older.send(*(message(content(PART)) for _ in range(20)))
    await until(lambda: older.waiting)
    older.send(ValueError("not a message at all"))
    newer.send(message(content(7), finish=True))
    one, other = await committed(first), await committed(second)
    assert one.document == other.document


def test_garbage_behind_a_superseded_request_disturbs_nobody(sqlite_url: str, tmp_path: Path) -> None:
    """It is thrown away unread; the loop has nothing to report."""

    async def scenario() -> None:
        async with UploadRig(sqlite_url, tmp_path / "objects") as rig:
            replica, asked = rig.replica(), spec(request_id="r")
            older, newer = Script(message(to=asked)), Script(message(to=asked))
            first = begin(replica, older)
            await until(lambda: older.waiting)
            second = begin(replica, newer)
            await until(lambda: newer.waiting and replica.entry.running == 1)
            older.send(ValueError("not a message at all"))
            await turns()
            newer.send(message(finish=True))
            await committed(second)
            await committed(first)

    assert reports_of(scenario) == []


async def test_whoever_waits_for_a_result_is_answered_at_the_deadline(rig: UploadRig) -> None:
    """The newer stream takes its time: come again."""
    replica = rig.replica(replace(OPTIONS, stall_timeout=10_000.0, deadline_margin=100.0))
    asked = spec(request_id="r")
    older = Script(message(content(5), to=asked))
    with deadline_scope(rig.clock.deadline(1000.0)):
        first = begin(replica, older)
    await until(lambda: older.waiting)
    newer = Script(message(to=asked))
    second = begin(replica, newer)
    await until(lambda: newer.waiting)
    await until(lambda: replica.entry.running == 1)
    await rig.clock.advance(800.0)
    assert not first.done()
    await rig.clock.advance(101.0)
    with pytest.raises(errors.UploadCommitting) as refused:
        await first
    assert refused.value.metadata["upload_id"] == replica.announced[0].upload_id
    newer.send(message(finish=True))
    await committed(second)


async def test_whoever_waits_for_a_result_is_sent_elsewhere_by_a_drain(rig: UploadRig, replica: Replica) -> None:
    """A drain does not wait for the deadline of a call."""
    asked = spec(request_id="r")
    older = Script(message(content(5), to=asked))
    first = begin(replica, older)
    await until(lambda: older.waiting)
    other, newer = rig.replica(), Script(message(to=asked))
    second = begin(other, newer)
    await until(lambda: newer.waiting)
    await until(lambda: replica.entry.running == 0)
    assert not first.done()
    replica.entry.drain()
    with pytest.raises(errors.Draining) as refused:
        await first
    assert refused.value.metadata["persisted_size"] == "0"
    newer.send(message(finish=True))
    await committed(second)


async def test_the_session_that_a_waiter_waits_for_may_fail(rig: UploadRig, replica: Replica) -> None:
    """Then the waiter is told the same."""
    older = Script(message(content(5), to=spec(request_id="r")))
    first = begin(replica, older)
    await until(lambda: older.waiting)
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(*stream(content(9), to=spec(request_id="r", sha256="0" * 64)))
    with pytest.raises(errors.ChecksumMismatch):
        await first


@pytest.mark.parametrize(
    ("declared", "refusal"),
    [({"sha256": "0" * 64}, errors.ChecksumMismatch), ({"size": 4}, errors.SizeMismatch)],
)
async def test_what_only_the_later_call_declares_has_to_hold_too(
    rig: UploadRig, replica: Replica, declared: dict[str, Any], refusal: type[errors.ContentError]
) -> None:
    """The session was opened without size and digest; the caller that attaches to it says what it means to send."""
    await replica.run(message(to=spec(request_id="r")))
    with pytest.raises(refusal):
        await replica.run(*stream(content(5), to=spec(request_id="r", **declared)))
    assert await rig.all_documents() == ()


async def test_a_waiter_is_not_given_other_bytes_than_it_declared(rig: UploadRig, replica: Replica) -> None:
    """The stream that superseded it committed something else under the same id."""
    older = Script(message(content(5), to=spec(request_id="r", sha256=digest(content(5)))))
    await replica.run(message(to=spec(request_id="r")))
    first = begin(replica, older)
    await until(lambda: older.waiting)
    await committed(replica.run(*stream(content(7, seed=1), to=spec(request_id="r"))))
    with pytest.raises(errors.RequestIdReused):
        await first


# COMMITTING


@pytest.mark.parametrize("by_id", [True, False])
async def test_newcomers_wait_for_a_commit_and_get_its_document(
    rig: UploadRig, replica: Replica, by_id: bool
) -> None:
    """COMMITTING cannot be taken over."""
    gate = replica.ledger.before["publish"] = Gate()
    asked, data = spec(request_id="r"), content(2 * PART)
    first = begin(replica, Script(*stream(data, to=asked)))
    await until(lambda: gate.arrived == 1)
    late = begin(rig.replica(), Script(message(content(9), to=replica.announced[0].upload_id if by_id else asked)))
    await turns()
    await asyncio.sleep(0.02)
    assert not late.done()
    gate.open()
    one = await committed(first)
    other = await committed(late)
    assert (other.document, other.receipt) == (one.document, one.receipt)
    await rig.check_whole(one.document, data)


async def test_a_newcomer_does_not_wait_for_a_commit_beyond_its_deadline(rig: UploadRig, replica: Replica) -> None:
    """UPLOAD_COMMITTING: the result will be there shortly."""
    gate = replica.ledger.before["publish"] = Gate()
    first = begin(replica, Script(*stream(content(PART + 9), to=spec(request_id="r"))))
    await until(lambda: gate.arrived == 1)
    with deadline_scope(rig.clock.deadline(10.0)):
        late = begin(replica, Script(message(to=spec(request_id="r"))))
    await until(lambda: len(replica.announced) == 2)
    await rig.clock.advance(8.1)
    with pytest.raises(errors.UploadCommitting):
        await late
    gate.open()
    await committed(first)


async def test_a_committed_session_is_answered_by_its_id_as_well(rig: UploadRig, replica: Replica) -> None:
    """A client whose answer was lost asks with what it has."""
    done = await committed(replica.run(*stream(content(PART), to=spec())))
    again = await committed(replica.run(message(to=replica.announced[0].upload_id, finish=True)))
    assert (again.document, again.receipt) == (done.document, done.receipt)


async def test_a_lost_answer_of_the_ledger_is_no_lost_document(rig: UploadRig, replica: Replica) -> None:
    """BEGIN COMMIT was carried out, its answer was not: whoever comes again gets the document, once driven on."""
    replica.ledger.after["begin_commit"] = failing(errors.DependencyUnavailable("connection lost"))
    asked, data = spec(request_id="r"), content(2 * PART + 1)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=asked))
    other = rig.replica()
    again = begin(other, Script(message(to=asked)))
    await until(lambda: len(other.announced) == 1)
    await other.janitor.run_once(drift=False)
    await rig.check_whole((await committed(again)).document, data)


# Duplicates


async def test_bytes_that_are_there_need_not_be_sent(rig: UploadRig, replica: Replica) -> None:
    """Digest and size declared: the answer comes with the first message."""
    data = content(3 * PART)
    first = await committed(replica.run(*stream(data, to=spec())))
    declared = spec(size=len(data), sha256=digest(data), filename="again.bin")
    again = await committed(replica.run(source=Script(message(to=declared))))
    assert again.duplicate
    assert again.document == first.document


@pytest.mark.parametrize("size", [100, 3 * PART])
@pytest.mark.parametrize("policy", DuplicatePolicy)
async def test_bytes_that_turn_out_to_be_there(
    rig: UploadRig, replica: Replica, policy: DuplicatePolicy, size: int
) -> None:
    """Nobody knew before: the policy decides at the end, and what was sent once more is removed."""
    data = content(size)
    first = await committed(replica.run(*stream(data, to=spec())))
    call = replica.run(*stream(data, to=spec(duplicate_policy=policy, filename="again.bin")))
    if policy is DuplicatePolicy.REJECT:
        with pytest.raises(errors.DuplicateDocument) as refused:
            await call
        assert refused.value.resource == errors.Resource("document", first.document.document_id)
    else:
        again = await committed(call)
        assert again.duplicate == (policy is DuplicatePolicy.RETURN_EXISTING)
        assert again.document.object_name == first.document.object_name
        assert (again.document == first.document) == again.duplicate
    await replica.janitor.run_once()
    assert await rig.objects() == {first.document.object_name}
    await rig.check_whole(first.document, data)


async def test_a_stopped_stream_without_partial_does_not_hide_the_reason(rig: UploadRig, replica: Replica) -> None:
    """Only what the first message says of `accept_partial` counts."""
    outcome = await replica.run(message(to=spec(), partial=True), message(content(5), partial=False))
    assert isinstance(outcome, Stopped)
    assert outcome.reason is StopReason.SEGMENT_END
