"""`domain/commit.py`: once COMMITTING, only forward, whoever leaves, crashes or is faster; a small one at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.commit import AGAIN_AFTER
from ledgerlift_server.domain.upload_entry import ABANDONED_AFTER
from ledgerlift_server.domain.upload_models import UploadState
from ledgerlift_server.domain.upload_stream import Stopped

from tests.support.commits import IN_PARTS, crashing, left_committing
from tests.support.databases import run_sql
from tests.support.domain_objects import OWNER, caller, spec
from tests.support.loop_clock import reports_of, turns, until
from tests.support.upload_calls import committed
from tests.support.upload_rig import (
    PART,
    Gate,
    Replica,
    Script,
    UploadRig,
    content,
    failing,
    message,
    stream,
)

STEPS = ("committing", "before_complete", "completed", "published")
SIZES = (100, IN_PARTS)


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
