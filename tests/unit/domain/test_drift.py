"""`domain/drift.py`: what only the store or only the database knows of, and never what both do."""

from __future__ import annotations

import asyncio

import pytest
from crc32c import crc32c
from ledgerlift_server.domain import drift as drift_module
from ledgerlift_server.domain.drift import DriftReport
from ledgerlift_server.domain.upload_models import DuplicatePolicy
from ledgerlift_server.domain.upload_stream import Stopped

from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import until
from tests.support.upload_calls import committed
from tests.support.upload_rig import PART, Gate, Replica, UploadRig, content, message, stream


async def compared(replica: Replica) -> DriftReport:
    """What a pass of the janitor found."""
    report = await replica.janitor.run_once()
    assert report is not None
    assert report.drift is not None
    return report.drift


async def test_whole_stores_have_no_drift(rig: UploadRig, replica: Replica) -> None:
    """Documents large and small, shared bytes, and a session on its way: all of it is known, and stays."""
    small, large = content(5), content(3 * PART, seed=1)
    documents = [await committed(replica.run(*stream(data, to=spec()))) for data in (small, large, small)]
    left = await replica.run(*stream(content(2 * PART, seed=2), to=spec(), finish=False))
    assert isinstance(left, Stopped)
    assert await compared(replica) == DriftReport(0, 0, 0, complete=True)
    for done, data in zip(documents, (small, large, small), strict=True):
        await rig.check_whole(done.document, data)
    await committed(replica.run(message(to=left.session.upload_id, finish=True)))


async def test_a_multipart_upload_on_its_way_into_the_ledger_is_left_alone(rig: UploadRig, replica: Replica) -> None:
    """It was made, and is being recorded at this very moment."""
    gate = replica.ledger.before["attach_multipart"] = Gate()
    running = asyncio.create_task(replica.run(*stream(content(2 * PART), to=spec())))
    await until(lambda: gate.arrived == 1)
    assert (await compared(replica)).orphan_multiparts == 0
    gate.open()
    await committed(running)


async def test_a_small_object_on_its_way_into_the_ledger_is_left_alone(rig: UploadRig, replica: Replica) -> None:
    """It was put, and its commit is about to begin."""
    gate = replica.ledger.before["commit_put"] = Gate()
    running = asyncio.create_task(replica.run(*stream(content(5), to=spec())))
    await until(lambda: gate.arrived == 1)
    assert (await compared(replica)).orphan_objects == 0
    gate.open()
    await rig.check_whole((await committed(running)).document, content(5))


async def test_what_nothing_stands_for_is_removed(
    rig: UploadRig, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    """An object and a multipart upload of nobody; the log has the name of each, for nobody can ask for it later."""
    caplog.set_level("INFO")
    name = await rig.put_orphan(1)
    await rig.begin_orphan(2)
    begun = [found.name for found in await rig.store.list_multiparts(limit=10)]
    found = await compared(replica)
    told = {record.msg: vars(record)["object"] for record in caplog.records if record.msg.startswith("orphan_")}
    assert told == {"orphan_object_queued": name, "orphan_multipart_aborted": begun[0]}
    assert (found.orphan_objects, found.orphan_multiparts) == (1, 1)
    assert await rig.objects() == set()
    assert list(await rig.store.list_multiparts(limit=10)) == []
    assert await compared(replica) == DriftReport(0, 0, 0, complete=True)


async def test_a_document_survives_the_removal_of_a_second_multipart_upload_of_its_name(
    rig: UploadRig, replica: Replica
) -> None:
    """A crash between making one and recording it leaves it there, and the name is later a document's."""
    data = content(3 * PART)
    left = await replica.run(*stream(data, to=spec(), finish=False))
    assert isinstance(left, Stopped)
    await rig.store.create_multipart(left.session.object_name, token=left.session.upload_id)
    done = await committed(replica.run(message(to=left.session.upload_id, finish=True)))
    assert (await compared(replica)).orphan_multiparts == 1
    assert list(await rig.store.list_multiparts(limit=10)) == []
    await rig.check_whole(done.document, data)


async def test_what_is_young_is_left_alone(rig: UploadRig) -> None:
    """A session may be making it."""
    replica = rig.replica(orphan_age=3600.0)
    name = await rig.put_orphan(1)
    await rig.begin_orphan(1)
    assert await compared(replica) == DriftReport(0, 0, 0, complete=True)
    assert await rig.objects() == {name}


async def test_what_this_service_cannot_have_made_is_left_alone(rig: UploadRig, replica: Replica) -> None:
    """A bucket may hold other things."""
    await rig.store.put("objects/backup.tar", memoryview(b"x"), crc32c=crc32c(b"x"), token="other")  # noqa: S106
    await rig.store.create_multipart("another/service", token="other")  # noqa: S106
    assert await compared(replica) == DriftReport(0, 0, 0, complete=True)
    assert await rig.objects() == {"objects/backup.tar"}
    assert len(await rig.store.list_multiparts(limit=10)) == 1


@pytest.mark.parametrize("how", ["gone", "of another size"])
async def test_a_document_without_its_object_is_reported(
    rig: UploadRig, replica: Replica, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be cleaned up, so the operator is told which documents and whose; the records stay."""
    done = await committed(replica.run(*stream(content(5), to=spec())))
    await committed(replica.run(*stream(content(5), to=spec(duplicate_policy=DuplicatePolicy.CREATE_NEW))))
    name = done.document.object_name
    if how == "gone":
        await rig.store.delete(name)
    else:
        await rig.store.put(name, memoryview(b"x"), crc32c=crc32c(b"x"), token="other")  # noqa: S106
    assert await compared(replica) == DriftReport(0, 0, missing_objects=1, complete=True)
    (entry,) = [record for record in caplog.records if record.msg == "stored_object_missing"]
    assert (entry.levelname, vars(entry)["object"], vars(entry)["owner"]) == ("ERROR", name, caller().subject)
    both = [document.document_id for document in await rig.all_documents()]
    assert sorted(vars(entry)["documents"]) == sorted(both)
    assert len(both) == 2


async def test_a_deleted_document_is_not_missed(rig: UploadRig, replica: Replica) -> None:
    """Its object goes through the outbox."""
    done = await committed(replica.run(*stream(content(5), to=spec())))
    await rig.documents.delete(caller(), done.document.document_id)
    found = await compared(replica)
    assert (found.missing_objects, found.orphan_objects) == (0, 0)
    assert await rig.objects() == set()


async def test_stores_of_many_batches_are_compared_whole(
    rig: UploadRig, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last entry of the last batch counts as much as the first."""
    monkeypatch.setattr(drift_module, "BATCH", 2)
    documents = [(await committed(replica.run(*stream(content(9, seed=n), to=spec())))).document for n in range(5)]
    for number in range(5):
        await rig.put_orphan(number)
        await rig.begin_orphan(number)
    missing = max(documents, key=lambda document: document.object_name)
    await rig.store.delete(missing.object_name)
    assert await compared(replica) == DriftReport(5, 5, 1, complete=True)
    assert await rig.objects() == {document.object_name for document in documents} - {missing.object_name}


@pytest.mark.parametrize("looks", range(4))
async def test_a_comparison_without_the_lease_is_broken_off(rig: UploadRig, replica: Replica, looks: int) -> None:
    """And says that it is not complete."""
    await committed(replica.run(*stream(content(5), to=spec())))
    left = looks

    async def still_mine() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    report = await replica.janitor._drift.look(still_mine)
    assert report.complete == (looks == 3), "objects once, blobs twice: one page, and the empty one behind it"
