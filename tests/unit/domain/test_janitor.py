"""`domain/janitor.py`: what crashes, cancellations and expiry leave is cleaned up, and nothing starves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain import janitor as janitor_module
from ledgerlift_server.domain.janitor import REMOVALS_AT_ONCE, Janitor, JanitorOptions, JanitorReport
from ledgerlift_server.domain.upload_models import UploadState
from ledgerlift_server.domain.upload_stream import Committed, Stopped

from tests.support.databases import run_sql
from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import until
from tests.support.upload_rig import PART, Gate, Replica, UploadRig, content, failing, message, stream


async def passed(janitor: Janitor, **how: bool) -> JanitorReport:
    """The report of a pass under the lease."""
    report = await janitor.run_once(**how)
    assert report is not None
    return report


# One replica at a time


async def test_one_replica_at_a_time_cleans_up(rig: UploadRig) -> None:
    """The lease decides; who gives it back lets the other one in at once."""
    first, second = rig.replica().janitor, rig.replica().janitor
    assert await first.run_once() is not None
    assert await second.run_once() is None
    await first.close()
    assert await second.run_once() is not None


async def test_a_lease_that_cannot_be_given_back_does_not_fail_the_shutdown(rig: UploadRig, replica: Replica) -> None:
    """It runs out by itself."""
    replica.maintenance.before["release_lease"] = failing(errors.DependencyUnavailable("down"))
    await replica.janitor.close()


async def test_whoever_loses_the_lease_stops(rig: UploadRig, replica: Replica, sqlite_url: str) -> None:
    """Between two steps at the latest; what was done does no harm."""
    for number in range(2 * REMOVALS_AT_ONCE):
        await rig.maintenance.queue_removal(f"objects/{number}", None)

    async def stolen(*_: Any) -> None:
        run_sql(sqlite_url, "UPDATE leases SET holder = 'another'")

    replica.maintenance.after["due_removals"] = stolen
    report = await passed(replica.janitor, full=False, drift=True)
    assert report.removed == 2 * REMOVALS_AT_ONCE
    assert report.drift is None, "the comparison is the other replica's"


@pytest.mark.parametrize(
    ("step", "next_step"),
    [("committing", "expire_due"), ("expire_due", "forget_ended"), ("forget_ended", "due_removals")],
)
async def test_whoever_loses_the_lease_begins_no_further_step(
    rig: UploadRig, replica: Replica, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, step: str, next_step: str
) -> None:
    """The other replica does it."""
    monkeypatch.setattr(janitor_module, "BATCH", 1)
    left_committing = rig.replica()
    left_committing.ledger.before["publish"] = failing(errors.DependencyUnavailable("down"))
    with pytest.raises(errors.DependencyUnavailable):
        await left_committing.run(*stream(content(PART + 5), to=spec()))
    await replica.run(message(to=spec()))
    run_sql(sqlite_url, "UPDATE sessions SET expire_time = create_time WHERE state = 'ACTIVE'")
    ended = (await replica.uploads.open(caller(), spec())).session
    await replica.uploads.cancel(caller(), ended.upload_id)
    run_sql(sqlite_url, "UPDATE sessions SET update_time = 0 WHERE state = 'CANCELLED'")

    async def stolen(*_: Any) -> None:
        run_sql(sqlite_url, "UPDATE leases SET holder = 'another'")

    replica.maintenance.after[step] = stolen
    await passed(replica.janitor, drift=False)
    assert replica.maintenance.count(step) == 1
    assert replica.maintenance.count(next_step) == 0


# What it cleans up


async def test_expired_sessions_and_their_parts_go(rig: UploadRig, replica: Replica, sqlite_url: str) -> None:
    """Nobody came back: nothing is left in the store, and the id tells why."""
    left = await replica.run(*stream(content(2 * PART + 5), to=spec(), finish=False))
    assert isinstance(left, Stopped)
    assert (await passed(replica.janitor)).facts() == {}, "its lifetime is not over yet"
    run_sql(sqlite_url, "UPDATE sessions SET expire_time = create_time")
    report = await passed(replica.janitor)
    assert (report.uploads_expired, report.removed) == (1, 1)
    assert list(await rig.store.list_multiparts(limit=10)) == []
    assert (await rig.session()).state is UploadState.EXPIRED
    with pytest.raises(errors.UploadExpired):
        await replica.run(message(to=left.session.upload_id))


async def test_more_than_one_batch_is_done_in_one_pass(
    rig: UploadRig, replica: Replica, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server ends more sessions between two passes than a step takes."""
    monkeypatch.setattr(janitor_module, "BATCH", 3)
    for _ in range(7):
        await replica.run(message(to=spec()))
    run_sql(sqlite_url, "UPDATE sessions SET expire_time = create_time")
    report = await passed(replica.janitor, drift=False)
    assert report.uploads_expired == 7
    run_sql(sqlite_url, "UPDATE sessions SET update_time = 0")
    assert (await passed(replica.janitor, drift=False)).sessions_forgotten == 7


async def test_a_cancelled_upload_leaves_nothing(rig: UploadRig, replica: Replica) -> None:
    """The outbox takes parts and object away."""
    left = await replica.run(*stream(content(2 * PART), to=spec(), finish=False))
    assert isinstance(left, Stopped)
    await replica.uploads.cancel(caller(), left.session.upload_id)
    assert replica.removals
    await passed(replica.janitor, full=False, drift=False)
    assert list(await rig.store.list_multiparts(limit=10)) == []


async def test_bytes_that_are_stored_after_a_cancellation_leave_no_object(rig: UploadRig, replica: Replica) -> None:
    """The outbox has removed the object before it was there; what stored it takes it away again."""
    gate = replica.store.before["put"] = Gate()
    running = asyncio.create_task(replica.run(*stream(content(100), to=spec())))
    await until(lambda: gate.arrived == 1)
    await replica.uploads.cancel(caller(), (await rig.session()).upload_id)
    await passed(replica.janitor, full=False, drift=False)
    gate.open()
    with pytest.raises(errors.UploadCancelled):
        await running
    assert await rig.objects() == set()


async def test_ended_sessions_are_forgotten_after_their_time(
    rig: UploadRig, replica: Replica, sqlite_url: str
) -> None:
    """And their request ids with them; the document stays."""
    asked = spec(request_id="r")
    done = await replica.run(*stream(content(5), to=asked))
    assert isinstance(done, Committed)
    assert (await passed(replica.janitor)).sessions_forgotten == 0
    run_sql(sqlite_url, "UPDATE sessions SET update_time = 0")
    assert (await passed(replica.janitor)).sessions_forgotten == 1
    await rig.check_whole(done.document, content(5))


@pytest.mark.parametrize("defect", [errors.DependencyUnavailable("no"), RuntimeError("a defect")])
async def test_a_commit_that_cannot_be_driven_does_not_hold_up_the_others(
    rig: UploadRig, replica: Replica, defect: Exception, sqlite_url: str
) -> None:
    """One poisoned session: the rest is published, expired and removed all the same."""
    stuck = rig.replica()
    stuck.ledger.before["publish"] = failing(errors.DependencyUnavailable("down"))
    sessions = []
    for number in range(3):
        with pytest.raises(errors.DependencyUnavailable):
            await stuck.run(*stream(content(PART + 5, seed=number), to=spec()))
        sessions.append(stuck.announced[-1].upload_id)
    await rig.maintenance.queue_removal("objects/gone", None)
    replica.ledger.before["publish"] = failing(defect, lambda upload_id, _: upload_id == sessions[0])
    report = await passed(replica.janitor)
    assert (report.commits_driven, report.commits_failed, report.removed) == (2, 1, 1)
    assert len(await rig.all_documents()) == 2


async def test_a_long_commit_does_not_cost_the_lease(rig: UploadRig) -> None:
    """Reading a large object back takes longer than the lease: it is renewed meanwhile."""
    broken = rig.replica()
    broken.ledger.before["publish"] = failing(errors.DependencyUnavailable("down"))
    with pytest.raises(errors.DependencyUnavailable):
        await broken.run(*stream(content(PART + 5), to=spec()))
    replica = rig.replica(janitor=JanitorOptions(commit_idle=0.0, lease=90.0))
    maintenance = replica.maintenance
    gate = replica.ledger.before["publish"] = Gate()
    passing = asyncio.create_task(replica.janitor.run_once(drift=False))
    await until(lambda: gate.arrived == 1)
    before = maintenance.count("acquire_lease")
    for renewed in range(1, 4):
        await rig.clock.advance(31.0)
        await until(lambda: maintenance.under_way == 0)
        assert maintenance.count("acquire_lease") - before == renewed
    gate.open()
    assert (await passing) is not None


@pytest.mark.parametrize("step", ["committing", "expire_due", "forget_ended", "due_removals"])
async def test_a_step_that_fails_does_not_starve_the_others(rig: UploadRig, replica: Replica, step: str) -> None:
    """Each is tried; the pass as a whole is told as failed."""
    replica.maintenance.before[step] = failing(errors.DependencyUnavailable("no"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.janitor.run_once()
    steps = ("committing", "expire_due", "forget_ended", "due_removals", "blob_objects")
    assert all(replica.maintenance.count(name) for name in steps)


async def test_a_store_that_cannot_be_compared_does_not_starve_the_outbox(rig: UploadRig, replica: Replica) -> None:
    """No right to list uploads: what is queued is still removed, and the comparison is not tried at every pass."""
    await rig.maintenance.queue_removal(await rig.put_orphan(1), None)
    replica.store.before["list_multiparts"] = failing(errors.DependencyUnavailable("forbidden"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.janitor.run_once()
    assert await rig.objects() == set()
    assert replica.janitor._next_drift > rig.clock() + 3600


# The outbox


async def test_a_removal_that_fails_is_tried_again_later_and_later(
    rig: UploadRig, replica: Replica, sqlite_url: str
) -> None:
    """One second, then two, then four; however often, never more than an hour."""
    await rig.maintenance.queue_removal(await rig.put_orphan(1), None)
    replica.store.before["delete"] = failing(errors.DependencyUnavailable("down"), times=3)
    waits: list[float] = []
    for attempts in (0, 1, 2000):
        run_sql(sqlite_url, f"UPDATE removals SET due_time = 0, attempts = {attempts}")  # noqa: S608 - numbers
        report = await passed(replica.janitor, full=False, drift=False)
        assert (report.removed, report.removals_failed) == (0, 1)
        (due,) = run_sql(sqlite_url, "SELECT due_time / 1e6 - strftime('%s', 'now') AS wait, attempts FROM removals")
        waits.append(due["wait"])
        assert due["attempts"] == attempts + 1
    assert [round(wait) for wait in waits] == [
        pytest.approx(1, abs=1),
        pytest.approx(2, abs=1),
        pytest.approx(3600, abs=2),
    ]
    run_sql(sqlite_url, "UPDATE removals SET due_time = 0")
    assert (await passed(replica.janitor, full=False, drift=False)).removed == 1
    assert await rig.objects() == set()


@pytest.mark.parametrize("defect", [errors.DependencyUnavailable("this one only"), ValueError("a bad name")])
async def test_one_object_that_cannot_be_removed_does_not_hold_up_the_others(
    rig: UploadRig, replica: Replica, defect: Exception
) -> None:
    """It comes again later; everything else goes."""
    names = [await rig.put_orphan(number) for number in range(REMOVALS_AT_ONCE + 3)]
    for name in names:
        await rig.maintenance.queue_removal(name, None)
    replica.store.before["delete"] = failing(defect, lambda name: name == names[0])
    report = await passed(replica.janitor, full=False, drift=False)
    assert report.removed == len(names) - 1
    assert report.removals_failed >= 1  # a pass that takes long meets it again
    assert await rig.objects() == {names[0]}


async def test_a_store_that_is_down_is_not_asked_for_every_removal(rig: UploadRig, replica: Replica) -> None:
    """Each would take its timeout, and nothing else would be done meanwhile."""
    for number in range(5 * REMOVALS_AT_ONCE):
        await rig.maintenance.queue_removal(f"objects/{number}", None)
    replica.store.before["delete"] = failing(errors.DependencyUnavailable("down"))
    report = await passed(replica.janitor, full=False, drift=False)
    assert (report.removed, report.removals_failed) == (0, REMOVALS_AT_ONCE)


async def test_an_outbox_of_several_batches_is_emptied_in_one_pass(
    rig: UploadRig, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due is done."""
    monkeypatch.setattr(janitor_module, "BATCH", 5)
    for number in range(12):
        await rig.maintenance.queue_removal(f"objects/{number}", None)
    assert (await passed(replica.janitor, full=False, drift=False)).removed == 12


# Round and round


def pauses() -> JanitorOptions:
    """Thirty seconds between two passes, one after each."""
    return JanitorOptions(commit_idle=0.0, interval=30.0, outbox_pause=1.0, drift_interval=3600.0)


@pytest.fixture
async def at_work(rig: UploadRig) -> AsyncIterator[Replica]:
    """A replica whose janitor runs, and has made its first pass."""
    replica = rig.replica(janitor=pauses())
    task = asyncio.create_task(replica.janitor.run())
    await until(lambda: replica.maintenance.done["blob_objects"] == 1)
    yield replica
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def seconds(rig: UploadRig, replica: Replica, count: int, each: Callable[[], None] = lambda: None) -> None:
    """Let time pass; a pass that is under way is let to its end in each second."""
    for _ in range(count):
        each()
        await rig.clock.advance(1.0)
        await until(lambda: replica.maintenance.under_way + replica.store.under_way == 0)


async def test_it_makes_a_pass_at_once_and_then_at_every_interval(rig: UploadRig, at_work: Replica) -> None:
    """The comparison of store and database comes seldom."""
    await seconds(rig, at_work, 65)
    assert at_work.maintenance.count("expire_due") == 3
    assert at_work.maintenance.count("blob_objects") == 1


async def test_it_removes_at_once_when_it_is_woken(rig: UploadRig, at_work: Replica) -> None:
    """A deleted document's bytes do not wait for the interval."""
    await seconds(rig, at_work, 2)
    await rig.maintenance.queue_removal(await rig.put_orphan(1), None)
    at_work.janitor.wake()
    await until(lambda: at_work.store.done["delete"] == 1)
    await seconds(rig, at_work, 1)
    passes = at_work.maintenance.count("due_removals")
    await seconds(rig, at_work, 10)
    assert at_work.maintenance.count("expire_due") == 1, "nothing but the outbox"
    assert at_work.maintenance.count("due_removals") == passes, "once for each time"


async def test_waking_it_all_the_time_starves_nothing(rig: UploadRig, at_work: Replica) -> None:
    """Removals every second: sessions still expire, and commits are still driven."""
    await seconds(rig, at_work, 65, at_work.janitor.wake)
    assert at_work.maintenance.count("expire_due") == 3
    assert at_work.maintenance.count("due_removals") > 30


async def test_a_pass_that_fails_is_made_again(rig: UploadRig, at_work: Replica) -> None:
    """A database that was away for half a minute."""
    at_work.maintenance.before["acquire_lease"] = failing(errors.DependencyUnavailable("down"), times=1)
    await seconds(rig, at_work, 65)
    assert at_work.maintenance.count("expire_due") == 2
