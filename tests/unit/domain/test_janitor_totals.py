"""`domain/janitor_totals.py`: nothing that a pass did is lost to whoever adds it up, however the pass ends."""

from __future__ import annotations

from typing import Any

import pytest
from ledgerlift_server import errors
from ledgerlift_server.domain.janitor_totals import PassEnd

from tests.support.domain_objects import caller, spec
from tests.support.upload_rig import Replica, UploadRig, content, failing, stream


async def test_passes_are_counted_by_how_they_end(rig: UploadRig) -> None:
    """Done, failed, and left to the replica that holds the lease."""
    first, second = rig.replica(), rig.replica()
    await first.janitor.run_once(drift=False)
    await second.janitor.run_once(drift=False)
    first.maintenance.before["expire_due"] = failing(errors.DependencyUnavailable("down"))
    with pytest.raises(errors.DependencyUnavailable):
        await first.janitor.run_once(drift=False)
    assert first.janitor.totals.passes == {PassEnd.DONE: 1, PassEnd.FAILED: 1, PassEnd.NOT_HOLDER: 0}
    assert second.janitor.totals.passes == {PassEnd.DONE: 0, PassEnd.FAILED: 0, PassEnd.NOT_HOLDER: 1}


async def test_actions_add_up_over_passes_those_of_a_failed_one_included(rig: UploadRig, replica: Replica) -> None:
    """Three removals, the last in a pass that fails elsewhere."""
    for number in range(2):
        await rig.maintenance.queue_removal(f"objects/{number}", None)
        await replica.janitor.run_once(drift=False)
    await rig.maintenance.queue_removal("objects/2", None)
    replica.maintenance.before["expire_due"] = failing(errors.DependencyUnavailable("down"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.janitor.run_once(drift=False)
    assert {name: count for name, count in replica.janitor.totals.actions.items() if count} == {"removed": 3}


async def test_orphans_add_up_and_missing_objects_are_those_of_the_last_comparison(
    rig: UploadRig, replica: Replica
) -> None:
    """What was dealt with is a sum; what is missing is a state, and none is known before the first comparison."""
    totals = replica.janitor.totals
    assert (totals.comparisons, totals.missing_objects) == (0, None)
    done: Any = await replica.run(*stream(content(5), to=spec()))
    await rig.store.delete(done.document.object_name)
    for number in range(2):
        await rig.put_orphan(number)
        await rig.begin_orphan(number)
        await replica.janitor.run_once()
    assert (totals.orphan_objects, totals.orphan_multiparts) == (2, 2)
    assert (totals.comparisons, totals.missing_objects) == (2, 1)
    await rig.documents.delete(caller(), done.document.document_id)
    await replica.janitor.run_once()
    assert (totals.comparisons, totals.missing_objects) == (3, 0)


async def test_a_comparison_that_breaks_off_keeps_what_it_found_and_says_nothing_of_the_rest(
    rig: UploadRig, replica: Replica
) -> None:
    """Orphans that it has queued count; missing objects stay as they were known."""
    await rig.put_orphan(1)
    replica.maintenance.before["blob_objects"] = failing(errors.DependencyUnavailable("down"))
    with pytest.raises(errors.DependencyUnavailable):
        await replica.janitor.run_once()
    totals = replica.janitor.totals
    assert (totals.orphan_objects, totals.comparisons, totals.missing_objects) == (1, 0, None)


async def test_what_waits_in_the_outbox_is_counted_also_when_nothing_can_be_removed(
    rig: UploadRig, replica: Replica
) -> None:
    """A store that is down makes it grow, which is when somebody wants to know."""
    totals = replica.janitor.totals
    assert totals.waiting_removals is None
    for number in range(3):
        await rig.maintenance.queue_removal(f"objects/{number}", None)
    replica.store.before["delete"] = failing(errors.CircuitOpen.of("storage", retry_after=1.0))
    with pytest.raises(errors.CircuitOpen):
        await replica.janitor.run_once(drift=False)
    assert totals.waiting_removals == 3
    replica.store.before.clear()
    await replica.janitor.run_once(drift=False)
    assert totals.waiting_removals == 0


async def test_who_is_not_the_holder_any_more_says_nothing_of_the_state(rig: UploadRig) -> None:
    """An alert on what it found once would not end before its process does; the holder has looked since."""
    first, second = rig.replica(), rig.replica()
    done: Any = await first.run(*stream(content(5), to=spec()))
    await rig.store.delete(done.document.object_name)
    await first.janitor.run_once()
    assert (first.janitor.totals.missing_objects, first.janitor.totals.waiting_removals) == (1, 0)
    await first.janitor.close()
    await second.janitor.run_once()
    await first.janitor.run_once()
    assert (first.janitor.totals.missing_objects, first.janitor.totals.waiting_removals) == (None, None)
    assert (second.janitor.totals.missing_objects, second.janitor.totals.waiting_removals) == (1, 0)
