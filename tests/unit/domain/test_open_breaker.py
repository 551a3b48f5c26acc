"""While a breaker refuses, what the server owes waits for it, and says so once: committer and janitor."""

from __future__ import annotations

import logging

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.commit import AGAIN_AFTER
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.databases import run_sql
from tests.support.domain_objects import spec
from tests.support.upload_rig import PART, Replica, UploadRig, content, failing, stream

OPEN = errors.CircuitOpen("the storage is not asked for a while", retry_after=60.0)


async def test_a_commit_that_a_breaker_refuses_is_driven_when_it_lets_calls_through(
    rig: UploadRig, replica: Replica
) -> None:
    """It waits for as long as the breaker says, for an outage however long, and is not left to the janitor."""
    refusals = 2 * len(AGAIN_AFTER)
    replica.ledger.before["publish"] = failing(OPEN, times=refusals)
    with pytest.raises(errors.CircuitOpen):
        await replica.run(*stream(content(PART + 5), to=spec()))
    for attempt in range(1, refusals + 1):
        await rig.clock.advance(55.0)
        await replica.committer.idle()
        assert replica.ledger.count("publish") == attempt
        await rig.clock.advance(5.5)
        await replica.committer.idle()
        assert replica.ledger.count("publish") == attempt + 1
    assert (await rig.session()).state is UploadState.COMMITTED


async def test_refusals_do_not_use_up_the_attempts(rig: UploadRig, replica: Replica) -> None:
    """Behind a breaker that opened in between, each of the pauses is still to come."""
    down = errors.DependencyUnavailable("down")
    replica.ledger.before["publish"] = failing(down, times=1)
    with pytest.raises(errors.DependencyUnavailable):
        await replica.run(*stream(content(PART + 5), to=spec()))
    replica.ledger.before["publish"] = failing(OPEN, times=1)
    await rig.clock.advance(AGAIN_AFTER[0])
    await replica.committer.idle()
    replica.ledger.before["publish"] = failing(down)
    await rig.clock.advance(60.5)
    await replica.committer.idle()
    assert replica.ledger.count("publish") == 3
    for attempt, pause in enumerate(AGAIN_AFTER[1:-1], start=4):
        await rig.clock.advance(pause)
        await replica.committer.idle()
        assert replica.ledger.count("publish") == attempt


async def test_commits_that_wait_for_a_breaker_do_not_flood_the_log(
    rig: UploadRig, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    """The breaker has told that it is open; a hundred sessions need not say so each time."""
    replica.ledger.before["publish"] = failing(OPEN)
    for number in range(5):
        with pytest.raises(errors.CircuitOpen):
            await replica.run(*stream(content(PART + 5, seed=number), to=spec()))
    with caplog.at_level(logging.INFO):
        await rig.clock.advance(60.5)
        await replica.committer.idle()
    assert replica.ledger.count("publish") == 10
    assert [record.msg for record in caplog.records] == []


async def test_removals_keep_their_turn_while_the_breaker_is_open(
    rig: UploadRig, replica: Replica, sqlite_url: str
) -> None:
    """The store was not asked: they count no attempt and wait for no doubled time, and go when it closes."""
    names = [await rig.put_orphan(number) for number in range(20)]
    for name in names:
        await rig.maintenance.queue_removal(name, None)
    replica.store.before["delete"] = failing(OPEN)
    for _ in range(3):
        with pytest.raises(errors.CircuitOpen):
            await replica.janitor.run_once(full=False, drift=False)
    assert {row["attempts"] for row in run_sql(sqlite_url, "SELECT attempts FROM removals")} == {0}
    del replica.store.before["delete"]
    report = await replica.janitor.run_once(full=False, drift=False)
    assert report is not None
    assert report.removed == 20
    assert await rig.objects() == set()


async def test_a_pass_against_an_open_breaker_says_so_once(
    rig: UploadRig, replica: Replica, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of many commits to drive and objects to remove the first one finds out; what needs no store is done."""
    stuck = rig.replica()
    stuck.ledger.before["publish"] = failing(errors.DependencyUnavailable("down"))
    for number in range(5):
        with pytest.raises(errors.DependencyUnavailable):
            await stuck.run(*stream(content(PART + 5, seed=number), to=spec()))
        await rig.maintenance.queue_removal(f"objects/{number}", None)
    await stuck.committer.close()
    run_sql(sqlite_url, "UPDATE sessions SET update_time = 0")
    replica.ledger.before["publish"] = failing(OPEN)
    replica.store.before["delete"] = failing(OPEN)
    caplog.clear()
    with caplog.at_level(logging.INFO), pytest.raises(errors.CircuitOpen):
        await replica.janitor.run_once(drift=False)
    assert replica.ledger.count("publish") == 1
    assert replica.maintenance.count("forget_ended") == 1
    assert [record.msg for record in caplog.records] == []
    del replica.ledger.before["publish"], replica.store.before["delete"]
    report = await replica.janitor.run_once(drift=False)
    assert report is not None
    assert (report.commits_driven, report.removed) == (5, 5)
