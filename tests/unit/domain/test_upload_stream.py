"""`domain/upload_stream.py`: what makes a document, and what never does."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c as crc_of
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgerlift_server import errors
from ledgerlift_server.adapters.digest import HashlibHashers
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.domain_objects import caller, spec
from tests.support.upload_calls import committed, opened, stopped
from tests.support.upload_rig import (
    PART,
    Replica,
    UploadRig,
    content,
    digest,
    message,
    pieces,
    stream,
)

SIZES = (0, 1, 63, 64, PART - 1, PART, PART + 1, 3 * PART, 7 * PART + 5)


# What makes a document


@pytest.mark.parametrize("size", SIZES)
async def test_a_document_of_any_size_arrives_whole(rig: UploadRig, replica: Replica, size: int) -> None:
    """Nothing, a byte, around a part's end, many parts: stored, recorded and hashed exactly as sent."""
    data = content(size)
    done = await committed(replica.run(*stream(data, to=spec())))
    await rig.check_whole(done.document, data)
    assert not done.duplicate
    assert done.receipt.bytes_received == size
    assert done.receipt.sha256 == digest(data)
    assert done.receipt.part_count == max(1, -(-size // PART))
    assert await rig.objects() == {done.document.object_name}


@pytest.mark.parametrize("size", [0, 100, 3 * PART + 9])
async def test_one_message_is_enough(rig: UploadRig, replica: Replica, size: int) -> None:
    """Target, data and end in one message."""
    data = content(size)
    done = await committed(replica.run(message(data, to=spec(), finish=True, crc=crc_of(data))))
    await rig.check_whole(done.document, data)


@pytest.mark.parametrize("size", [0, 100, 3 * PART + 9])
@pytest.mark.parametrize("where", ["before", "after", "both"])
async def test_what_is_declared_may_come_first_or_last(
    rig: UploadRig, replica: Replica, size: int, where: str
) -> None:
    """Size and digest in the spec, with the last message, or in both."""
    data = content(size)
    declared: dict[str, Any] = {"size": size, "sha256": digest(data)}
    messages = stream(data, to=spec(**declared if where != "after" else {}))
    if where != "before":
        messages[-1] = replace(messages[-1], **declared)
    done = await committed(replica.run(*messages))
    await rig.check_whole(done.document, data)


async def test_empty_messages_change_nothing(rig: UploadRig, replica: Replica) -> None:
    """A message without data keeps a stream alive and moves nothing."""
    data = content(2 * PART + 3)
    messages = [
        message(to=spec()),
        message(),
        *(message(p) for p in pieces(data, 900)),
        message(),
        message(finish=True),
    ]
    done = await committed(replica.run(*messages))
    await rig.check_whole(done.document, data)


async def test_the_commit_does_not_wait_for_the_end_of_the_stream(replica: Replica) -> None:
    """`finish_write` is enough; what comes behind it is not looked at."""
    behind = message(content(5), to="not even a valid target")
    await committed(replica.run(*stream(content(100), to=spec()), behind))


async def test_a_declared_size_takes_no_more_memory_than_it_needs(replica: Replica) -> None:
    """A small document takes a small buffer."""
    await committed(replica.run(*stream(content(100), to=spec(size=100), size=30)))
    assert replica.budget.most_used == 100


# The end of a stream is not success


owners = count(1)


@pytest.fixture(scope="module")
def shared_stores(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> tuple[str, Path]:
    """Stores that many examples share, each as an owner of its own."""
    folder = tmp_path_factory.mktemp("stores")
    shutil.copyfile(_sqlite_template, folder / "ledgerlift.db")
    return f"sqlite:///{folder / 'ledgerlift.db'}", folder / "objects"


@settings(max_examples=40)
@given(
    size=st.integers(0, 5 * PART),
    cuts=st.lists(st.integers(0, 5 * PART), max_size=12),
    left_after=st.integers(0, 13),
    again_from=st.floats(0, 1),
    other_hasher=st.booleans(),
)
def test_a_stream_that_ends_without_finish_commits_nothing_wherever_it_is_cut(
    shared_stores: tuple[str, Path],
    size: int,
    cuts: list[int],
    left_after: int,
    again_from: float,
    other_hasher: bool,
) -> None:
    """Any split into messages, left after any of them: no document, whole parts are durable, and another server goes
    on from any durable offset to the right digest.
    """
    data = content(size, seed=size)
    edges = [0, *sorted(cut for cut in cuts if cut <= size), size]
    messages = [message(data[a:b], crc=crc_of(data[a:b])) for a, b in pairwise(edges)]
    messages[0] = replace(messages[0], target=spec())
    sent = messages[:left_after] or messages[:1]
    arrived = sum(len(one.data) for one in sent)
    me = caller(f"owner-{next(owners)}")

    async def example() -> None:
        async with UploadRig(*shared_stores) as rig:
            left = await stopped(rig.replica().run(*sent, by=me))
            session = left.session
            assert session.persisted_size == arrived // PART * PART
            assert await rig.all_documents(me.subject) == ()
            found = await rig.ledger.get(me.subject, session.upload_id)
            assert (found.state, found.persisted_size) == (UploadState.ACTIVE, session.persisted_size)

            again = int(again_from * session.persisted_size)
            rest = stream(data[again:], to=session.upload_id, offset=again)
            second = rig.replica(hashers=HashlibHashers() if other_hasher else None)
            done = await committed(second.run(*rest, by=me))
            await rig.check_whole(done.document, data)
            assert done.receipt.bytes_skipped == session.persisted_size - again

    asyncio.run(example())


async def test_the_end_of_a_segment_keeps_whole_parts_only(rig: UploadRig, replica: Replica) -> None:
    """The unaligned tail is dropped; the receipt says what came."""
    left = await stopped(replica.run(*stream(content(3 * PART + 500), to=spec(), finish=False)))
    assert left.session.persisted_size == 3 * PART
    assert left.session.part_count == 3
    assert (left.receipt.bytes_received, left.receipt.part_count) == (3 * PART + 500, 3)
    assert left.receipt.sha256 == ""
    session = await rig.nothing_committed()
    assert (session.persisted_size, session.part_count) == (3 * PART, 3)


async def test_without_accept_partial_an_end_is_an_error_with_the_durable_size(replica: Replica) -> None:
    """A caller that knows nothing of sessions is never told OK for half a document."""
    messages = stream(content(2 * PART + 1), to=spec(), finish=False)
    messages[0] = replace(messages[0], accept_partial=False)
    with pytest.raises(errors.UploadIncomplete) as refused:
        await replica.run(*messages)
    assert refused.value.metadata["persisted_size"] == str(2 * PART)
    assert refused.value.metadata["upload_id"] == replica.announced[0].upload_id


async def test_a_failing_read_ends_the_stream_and_commits_nothing(rig: UploadRig, replica: Replica) -> None:
    """A malformed message in the middle: what is durable stays, the session can go on."""
    data = content(2 * PART + 77)
    malformed = errors.InvalidRequest([errors.FieldViolation("request", "is not an UploadRequest")])
    with pytest.raises(errors.InvalidRequest):
        await replica.run(*stream(data, to=spec(), finish=False), malformed)
    session = await rig.nothing_committed()
    await committed(replica.run(*stream(data, to=session.upload_id, offset=0)))


async def test_a_stream_without_any_message_is_incomplete(replica: Replica) -> None:
    """There is no session to tell of."""
    with pytest.raises(errors.UploadIncomplete, match="before its first message"):
        await replica.run()


async def test_the_client_is_told_its_session_before_anything_is_stored(rig: UploadRig, replica: Replica) -> None:
    """It has to know where to go on when the stream breaks."""
    session = await opened(replica, content(PART))
    await stopped(replica.run(message(to=session.upload_id)))
    assert [one.persisted_size for one in replica.announced] == [0, PART]
    assert {one.upload_id for one in replica.announced} == {session.upload_id}
