"""`domain/completion.py`: parts become the one object, or nothing is ever said of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crc32c import crc32c
from ledgerlift_server import errors
from ledgerlift_server.domain.store_port import InvalidPart
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.commits import IN_PARTS, left_committing
from tests.support.databases import run_sql
from tests.support.domain_objects import spec
from tests.support.loop_clock import until
from tests.support.upload_calls import committed
from tests.support.upload_rig import (
    PART,
    Gate,
    Replica,
    UploadRig,
    content,
    failing,
    stream,
)


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
