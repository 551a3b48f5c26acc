"""`domain/commit.py`: once COMMITTING, only forward, whoever leaves, crashes or is faster; a small one at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crc32c import crc32c
from ledgerlift_server import errors
from ledgerlift_server.domain.commit import AGAIN_AFTER
from ledgerlift_server.domain.store_port import InvalidPart
from ledgerlift_server.domain.upload_entry import ABANDONED_AFTER
from ledgerlift_server.domain.upload_models import CommitPlan, Receipt, UploadSession, UploadState
from ledgerlift_server.domain.upload_stream import Committed, Stopped

from tests.support.databases import run_sql
from tests.support.domain_objects import OWNER, caller, spec
from tests.support.loop_clock import reports_of, turns, until
from tests.support.upload_rig import (
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

STEPS = ("committing", "before_complete", "completed", "published")
IN_PARTS = 3 * PART + 5
SIZES = (100, IN_PARTS)


def crashing(at: str) -> Any:
    """A checkpoint that ends the process at a step."""

    def checkpoint(step: str) -> None:
        if step == at:
            raise asyncio.CancelledError(f"crashed at {at}")

    return checkpoint


async def committed(running: Any) -> Committed:
    """The outcome of a call, which has to be a document."""
    outcome = await running
    assert isinstance(outcome, Committed)
    return outcome


async def left_committing(rig: UploadRig, data: bytes, **declared: Any) -> UploadSession:
    """A session that a server left right after BEGIN COMMIT: of a small document, one of an earlier version."""
    small = len(data) < PART
    replica = rig.replica(checkpoint=crashing("sealed" if small else "committing"))
    with pytest.raises(asyncio.CancelledError):
        await replica.run(*stream(data, to=spec(**declared)))
    session = await rig.ledger.get(OWNER, replica.announced[0].upload_id)
    if small:
        sha256 = digest(data)
        plan = CommitPlan(len(data), sha256, session.put_name(1), True, (), Receipt(len(data), 0, 1, sha256), None)
        await rig.ledger.begin_commit(session.upload_id, session.epoch, 0, plan)
        session = await rig.ledger.get(OWNER, session.upload_id)
    assert session.state is UploadState.COMMITTING
    return session


@pytest.mark.parametrize("step", STEPS)
async def test_a_commit_that_was_broken_off_anywhere_is_rolled_forward(rig: UploadRig, step: str) -> None:
    """By the janitor of another server: one document, whole; what was done already is not done twice."""
    data = content(IN_PARTS)
    broken = rig.replica(checkpoint=crashing(step))
    with pytest.raises(asyncio.CancelledError):
        await broken.run(*stream(data, to=spec(request_id="r")))
    other = rig.replica()
    await other.janitor.run_once()
    (document,) = await rig.all_documents()
    await rig.check_whole(document, data)
    session = await rig.session()
    assert (session.state, session.document_id) == (UploadState.COMMITTED, document.document_id)
    assert await rig.objects() == {document.object_name}
    again = await committed(other.run(message(to=spec(request_id="r"))))
    assert again.document == document


async def test_a_small_document_is_committed_in_one_transaction(rig: UploadRig, replica: Replica) -> None:
    """There is nothing to complete, and so no COMMITTING that somebody would have to drive."""
    data = content(100)
    await rig.check_whole((await committed(replica.run(*stream(data, to=spec())))).document, data)
    assert [replica.ledger.count(method) for method in ("commit_put", "begin_commit", "publish")] == [1, 0, 0]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_small_commit_of_unknown_outcome_is_there_whole_or_not_at_all(
    rig: UploadRig, replica: Replica, when: str
) -> None:
    """Whoever comes again with the request id gets the one document; nothing else is left in the store."""
    hooks = replica.ledger.before if when == "before" else replica.ledger.after
    hooks["commit_put"] = failing(errors.DeadlineExceeded("of unknown outcome"), times=1)
    data, asked = content(100), spec(request_id="r")
    with pytest.raises(errors.DeadlineExceeded):
        await replica.run(*stream(data, to=asked))
    assert (await rig.session()).state is (UploadState.ACTIVE if when == "before" else UploadState.COMMITTED)
    await rig.check_whole((await committed(rig.replica().run(*stream(data, to=asked)))).document, data)
    (document,) = await rig.all_documents()
    await replica.janitor.run_once()
    assert await rig.objects() == {document.object_name}


@pytest.mark.parametrize(
    ("size", "method"),
    [
        (100, "put"),
        (100, "commit_put"),
        (IN_PARTS, "complete_multipart"),
        (IN_PARTS, "begin_commit"),
        (IN_PARTS, "publish"),
    ],
)
async def test_a_client_that_leaves_cannot_cancel_half_of_a_commit(
    rig: UploadRig, replica: Replica, size: int, method: str
) -> None:
    """From `finish_write` on it is the server's own."""
    watched = replica.ledger if method in ("begin_commit", "publish", "commit_put") else replica.store
    gate = watched.before[method] = Gate()
    data = content(size)
    running = asyncio.create_task(replica.run(*stream(data, to=spec())))
    await until(lambda: gate.arrived == 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    gate.open()
    await replica.committer.close()
    (document,) = await rig.all_documents()
    await rig.check_whole(document, data)


async def test_a_part_in_flight_at_the_end_belongs_to_the_commit(rig: UploadRig, replica: Replica) -> None:
    """The end was read while parts were on their way; the client left: still one whole document."""
    gate = replica.store.before["put_part"] = Gate()
    data = content(3 * PART)
    running = asyncio.create_task(replica.run(source=Script(*stream(data, to=spec()))))
    await until(lambda: gate.arrived == 3)
    await turns(20)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    gate.open()
    await replica.committer.close()
    (document,) = await rig.all_documents()
    await rig.check_whole(document, data)


def test_a_commit_that_fails_after_its_client_left_disturbs_nobody(
    sqlite_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is in the log; the loop does not report it as an exception that nobody looked at."""

    async def scenario() -> None:
        async with UploadRig(sqlite_url, tmp_path_factory.mktemp("objects")) as rig:
            replica = rig.replica()
            gate = Gate()

            async def hook(*_: Any) -> None:
                await gate()
                raise errors.DependencyUnavailable("too late")

            replica.store.before["put"] = hook
            running = asyncio.create_task(replica.run(*stream(content(9), to=spec())))
            await until(lambda: gate.arrived == 1)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            gate.open()
            await replica.committer.close()

    assert reports_of(scenario) == []


async def test_a_janitor_joins_a_commit_of_its_own_process(rig: UploadRig, replica: Replica) -> None:
    """The same commit is not driven twice at once."""
    gate = replica.ledger.before["publish"] = Gate()
    running = asyncio.create_task(replica.run(*stream(content(3 * PART), to=spec())))
    await until(lambda: gate.arrived == 1)
    driving = asyncio.create_task(replica.janitor.run_once(drift=False))
    await asyncio.sleep(0.02)
    gate.open()
    report = await driving
    assert report is not None
    assert report.commits_driven == 1
    await committed(running)
    assert gate.arrived == 1


@pytest.mark.parametrize("size", SIZES)
async def test_two_servers_may_drive_one_commit_at_once(rig: UploadRig, size: int) -> None:
    """Both end with the one document."""
    data = content(size)
    session = await left_committing(rig, data)
    outcomes = await asyncio.gather(*(rig.replica().committer.drive(session) for _ in range(3)))
    assert len({outcome.document.document_id for outcome in outcomes}) == 1
    await rig.check_whole(outcomes[0].document, data)


async def test_a_completed_upload_whose_answer_was_lost_is_recognised(rig: UploadRig, replica: Replica) -> None:
    """NoSuchUpload, but the object is there, of the right size and token."""
    replica.store.after["complete_multipart"] = failing(errors.DependencyUnavailable("connection lost"), times=1)
    data = content(3 * PART)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=spec()))
    assert (await rig.session()).state is UploadState.COMMITTING
    published = await replica.committer.drive(await rig.session())
    await rig.check_whole(published.document, data)


async def falsely_complete(rig: UploadRig, replica: Replica) -> None:
    """The store says that it is done, and the object is not there."""

    async def lose(name: str, *_: Any) -> None:
        await rig.store.delete(name)

    replica.store.after["complete_multipart"] = lose


async def test_a_store_that_says_it_is_done_is_believed_when_the_object_is_there(
    rig: UploadRig, replica: Replica
) -> None:
    """versitygw says so while another call still puts it together: the commit is delayed, and nothing published."""
    await falsely_complete(rig, replica)
    with pytest.raises(errors.DependencyUnavailable, match="has not made the object yet"):
        await replica.run(*stream(content(IN_PARTS), to=spec()))
    assert (await rig.session()).state is UploadState.COMMITTING
    assert await rig.all_documents() == ()


async def test_an_object_that_never_comes_is_given_up(rig: UploadRig, replica: Replica, sqlite_url: str) -> None:
    """Where the store was killed over it, it says for ever that it is done."""
    session = await left_committing(rig, content(IN_PARTS))
    run_sql(sqlite_url, "UPDATE sessions SET update_time = 0")
    await falsely_complete(rig, replica)
    with pytest.raises(errors.StoredObjectCorrupt, match="it is not there"):
        await replica.committer.drive(await rig.session())
    assert (await rig.session()).state is UploadState.FAILED
    assert await rig.all_documents() == ()
    assert session.multipart_id is not None


async def test_parts_that_vanished_during_the_commit_are_never_published(rig: UploadRig, replica: Replica) -> None:
    """Neither parts nor object: the session is FAILED, loudly."""
    session = await left_committing(rig, content(3 * PART))
    assert session.multipart_id is not None
    await rig.store.abort_multipart(session.object_name, session.multipart_id)
    with pytest.raises(errors.StoredObjectCorrupt, match="gone"):
        await replica.committer.drive(session)
    assert await rig.all_documents() == ()
    assert (await rig.session()).state is UploadState.FAILED


@pytest.mark.parametrize("other", ["size", "token"])
async def test_an_object_of_another_upload_is_not_taken_for_this_one(
    rig: UploadRig, replica: Replica, other: str
) -> None:
    """Size and token have to be right before a vanished upload counts as completed."""
    data = content(3 * PART)
    session = await left_committing(rig, data)
    assert session.multipart_id is not None
    await rig.store.abort_multipart(session.object_name, session.multipart_id)
    body = data if other == "token" else data[:-1]
    token = session.upload_id if other == "size" else "another"
    await rig.store.put(session.object_name, memoryview(body), crc32c=crc32c(body), token=token)
    with pytest.raises(errors.StoredObjectCorrupt):
        await replica.committer.drive(session)


async def test_a_part_replaced_by_the_same_bytes_does_no_harm(
    rig: UploadRig, replica: Replica, sqlite_url: str
) -> None:
    """A late write of a fenced holder gave it another ETag: completed with the listed one."""
    data = content(IN_PARTS)
    session = await left_committing(rig, data)
    run_sql(sqlite_url, "UPDATE parts SET etag = 'what the ledger knows' WHERE number = 2")
    published = await replica.committer.drive(session)
    assert replica.store.count("complete_multipart") == 2
    await rig.check_whole(published.document, data)


@pytest.mark.parametrize("replaced", [b"\0" * PART, b"\0" * (PART - 1)])
async def test_a_part_replaced_by_other_bytes_is_never_published(
    rig: UploadRig, replica: Replica, replaced: bytes
) -> None:
    """The ledger's checksum and size decide."""
    session = await left_committing(rig, content(3 * PART))
    assert session.multipart_id is not None
    await rig.store.put_part(
        session.object_name, session.multipart_id, 2, memoryview(replaced), crc32c=crc32c(replaced)
    )
    with pytest.raises(errors.StoredObjectCorrupt, match="part 2 was replaced"):
        await replica.committer.drive(session)
    assert await rig.all_documents() == ()
    assert (await rig.session()).state is UploadState.FAILED
    await replica.janitor.run_once()
    assert await rig.objects() == set()
    assert list(await rig.store.list_multiparts(limit=10)) == []


@pytest.mark.parametrize("call", ["list_parts", "complete_multipart"])
async def test_another_server_may_complete_replaced_parts_first(
    rig: UploadRig, replica: Replica, sqlite_url: str, call: str
) -> None:
    """Between any two steps: the object is there, and that is what was wanted."""
    data = content(3 * PART)
    session = await left_committing(rig, data)
    assert session.multipart_id is not None
    name, multipart_id = session.object_name, session.multipart_id
    run_sql(sqlite_url, "UPDATE parts SET etag = 'what the ledger knows' WHERE number = 2")

    async def other(*_: Any) -> None:
        if replica.store.count("complete_multipart") == (1 if call == "list_parts" else 2):
            await rig.store.complete_multipart(name, multipart_id, await rig.store.list_parts(name, multipart_id))

    replica.store.before[call] = other
    await rig.check_whole((await replica.committer.drive(session)).document, data)


async def test_a_holder_that_still_replaces_parts_delays_the_commit(
    rig: UploadRig, replica: Replica, sqlite_url: str
) -> None:
    """What was listed is replaced again before it is completed: tried again, not given up."""
    data = content(3 * PART)
    session = await left_committing(rig, data)
    run_sql(sqlite_url, "UPDATE parts SET etag = 'what the ledger knows' WHERE number = 2")
    replica.store.before["complete_multipart"] = failing(
        InvalidPart(), lambda *_: replica.store.count("complete_multipart") == 2
    )
    with pytest.raises(errors.DependencyUnavailable, match="still writing"):
        await replica.committer.drive(session)
    assert (await rig.session()).state is UploadState.COMMITTING
    await rig.check_whole((await replica.committer.drive(session)).document, data)


async def test_a_commit_that_another_server_finished_as_a_duplicate_is_no_corruption(rig: UploadRig) -> None:
    """The other drives the same commit to its end, finds a duplicate, and its janitor removes the object."""
    data = content(3 * PART)
    first = await committed(rig.replica().run(*stream(data, to=spec())))
    slow, fast = rig.replica(), rig.replica()
    gate = slow.store.before["complete_multipart"] = Gate()
    running = asyncio.create_task(slow.run(*stream(data, to=spec(filename="again.bin"))))
    await until(lambda: gate.arrived == 1)
    await fast.janitor.run_once()
    assert await rig.objects() == {first.document.object_name}
    gate.open()
    again = await committed(running)
    assert again.duplicate
    assert again.document == first.document


async def test_the_same_for_a_small_document_that_is_read_back(rig: UploadRig, sqlite_url: str) -> None:
    """Its object is gone when it is to be hashed."""
    data = content(100)
    first = await committed(rig.replica().run(*stream(data, to=spec())))
    await left_committing(rig, data, filename="again.bin")
    run_sql(sqlite_url, "UPDATE sessions SET final_sha256 = NULL WHERE state = 'COMMITTING'")
    slow, fast = rig.replica(), rig.replica()
    gate = slow.store.before["read"] = Gate()
    (session,) = await rig.maintenance.committing(idle=0.0, limit=10)
    driving = slow.committer.drive(session)
    await until(lambda: gate.arrived == 1)
    await fast.janitor.run_once()
    gate.open()
    published = await driving
    assert published.document == first.document


async def test_an_object_that_ends_too_early_is_never_published(
    rig: UploadRig, replica: Replica, sqlite_url: str
) -> None:
    """Read back, and shorter than what was acknowledged."""
    session = await left_committing(rig, content(100))
    run_sql(sqlite_url, "UPDATE sessions SET final_sha256 = NULL, final_size = 200")
    with pytest.raises(errors.StoredObjectCorrupt, match="ends after 100 bytes"):
        await replica.committer.drive(await rig.ledger.get(OWNER, session.upload_id))


async def test_a_session_that_is_not_committing_is_not_driven(rig: UploadRig, replica: Replica) -> None:
    """It is told what it is instead."""
    left = await replica.run(*stream(content(5), to=spec(), finish=False))
    assert isinstance(left, Stopped)
    with pytest.raises(errors.UploadSuperseded):
        await replica.committer.drive(left.session)
    await replica.uploads.cancel(caller(), left.session.upload_id)
    with pytest.raises(errors.UploadCancelled):
        await replica.committer.drive(left.session)


async def test_closing_waits_for_every_commit(rig: UploadRig, replica: Replica) -> None:
    """Also for one whose session a newer stream has taken over."""
    gate = replica.store.before["put"] = Gate(lambda name, *_: name.endswith(".1"))
    older = asyncio.create_task(replica.run(*stream(content(5), to=spec(request_id="r"))))
    await until(lambda: gate.arrived == 1)
    newer = await committed(replica.run(*stream(content(5), to=spec(request_id="r"))))
    closing = asyncio.create_task(replica.committer.close())
    await turns()
    assert not closing.done()
    gate.open()
    await closing
    assert (await committed(older)).document == newer.document


@pytest.mark.parametrize("method", ["complete_multipart", "publish", "begin_commit"])
async def test_a_commit_that_was_delayed_is_driven_again_without_the_janitor(
    rig: UploadRig, replica: Replica, method: str
) -> None:
    """Also when only the answer to BEGIN COMMIT was lost. Who asks again is not kept waiting for minutes."""
    watched = replica.store if method == "complete_multipart" else replica.ledger
    hooks = watched.after if method == "begin_commit" else watched.before
    hooks[method] = failing(
        errors.DependencyUnavailable("connection lost"), times=1 if method == "begin_commit" else 2
    )
    data = content(IN_PARTS)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(data, to=spec(request_id="r")))
    assert (await rig.session()).state is UploadState.COMMITTING
    again = asyncio.create_task(replica.run(message(to=spec(request_id="r"))))
    for pause in AGAIN_AFTER[:2]:
        await rig.clock.advance(pause)
        await replica.committer.idle()
    await rig.clock.advance(2.0)
    document = (await committed(again)).document
    await rig.check_whole(document, data)
    assert watched.count(method) == (1 if method == "begin_commit" else 3)


@pytest.mark.parametrize(
    ("method", "delay"),
    [
        ("publish", errors.DependencyUnavailable("down")),
        ("publish", errors.CircuitOpen("open", retry_after=AGAIN_AFTER[0])),
        ("publish", errors.Overloaded("busy")),
        ("publish", errors.DeadlineExceeded("of unknown outcome")),
        ("begin_commit", errors.DeadlineExceeded("of unknown outcome")),
    ],
)
async def test_whatever_delays_a_commit_it_is_driven_again(
    rig: UploadRig, replica: Replica, method: str, delay: errors.LedgerLiftError
) -> None:
    """Down, broken off, busy or late: COMMITTING goes forward, whether or not it is known to have begun."""
    hooks = replica.ledger.after if method == "begin_commit" else replica.ledger.before
    hooks[method] = failing(delay, times=1)
    with pytest.raises(type(delay)):
        await replica.run(*stream(content(IN_PARTS), to=spec()))
    assert (await rig.session()).state is UploadState.COMMITTING
    await rig.clock.advance(AGAIN_AFTER[0])
    await replica.committer.idle()
    assert (await rig.session()).state is UploadState.COMMITTED


async def test_a_delayed_commit_is_not_driven_for_ever(rig: UploadRig, replica: Replica) -> None:
    """After the last pause it is left to the janitor, which may be another replica's."""
    replica.ledger.before["publish"] = failing(errors.DependencyUnavailable("connection lost"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(content(IN_PARTS), to=spec()))
    for attempt, pause in enumerate(AGAIN_AFTER, start=2):
        await rig.clock.advance(pause)
        await replica.committer.idle()
        assert replica.ledger.count("publish") == attempt
    await rig.clock.advance(10 * sum(AGAIN_AFTER))
    await replica.committer.idle()
    assert replica.ledger.count("publish") == 1 + len(AGAIN_AFTER)


async def test_a_janitor_that_drives_meanwhile_does_not_multiply_the_attempts(
    rig: UploadRig, replica: Replica
) -> None:
    """It fails as well; the attempt that is planned already stays the only one."""
    rig.clock.stand_still()
    replica.ledger.before["publish"] = failing(errors.DependencyUnavailable("connection lost"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(content(IN_PARTS), to=spec()))
    await replica.janitor.run_once(drift=False)
    assert replica.ledger.count("publish") == 2
    await rig.clock.advance(AGAIN_AFTER[0])
    await replica.committer.idle()
    assert replica.ledger.count("publish") == 3


async def test_a_closed_committer_drives_nothing_again(rig: UploadRig, replica: Replica) -> None:
    """The process is about to end, and what it works with is closed next."""
    replica.ledger.before["publish"] = failing(errors.DependencyUnavailable("connection lost"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(content(IN_PARTS), to=spec()))
    await replica.committer.close()
    await rig.clock.advance(sum(AGAIN_AFTER))
    await replica.committer.idle()
    assert replica.ledger.count("publish") == 1


async def test_a_commit_that_fails_while_the_committer_closes_is_left(rig: UploadRig, replica: Replica) -> None:
    """Nothing is planned any more."""
    gate = Gate()

    async def hook(*_: Any) -> None:
        await gate()
        raise errors.DependencyUnavailable("down")

    replica.ledger.before["publish"] = hook
    running = asyncio.create_task(replica.run(*stream(content(IN_PARTS), to=spec())))
    await until(lambda: gate.arrived == 1)
    closing = asyncio.create_task(replica.committer.close())
    await turns()
    gate.open()
    await closing
    with pytest.raises(errors.DependencyUnavailable):
        await running
    await rig.clock.advance(sum(AGAIN_AFTER))
    await replica.committer.idle()
    assert gate.arrived == 1


@pytest.mark.parametrize("size", SIZES)
async def test_a_commit_whose_server_was_killed_is_driven_by_the_server_that_is_asked(
    rig: UploadRig, size: int
) -> None:
    """After a pause without a change, and without the janitor: the lease of the killed one may last for minutes."""
    data = content(size)
    await left_committing(rig, data, request_id="r")
    other = rig.replica()
    again = asyncio.create_task(other.run(message(to=spec(request_id="r"))))
    await until(lambda: len(other.announced) == 1)
    await rig.clock.advance(ABANDONED_AFTER - 1.0)
    await other.committer.idle()
    assert other.ledger.count("publish") == 0
    await rig.clock.advance(1.0)
    document = (await committed(again)).document
    await rig.check_whole(document, data)
    assert other.ledger.count("publish") == 1
