"""`domain/upload_stream.py`: what each wrong message is answered, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from crc32c import crc32c as crc_of
from ledgerlift_server import errors
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.domain_objects import caller, spec
from tests.support.upload_calls import committed, opened, stopped
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Replica,
    UploadRig,
    content,
    digest,
    message,
    stream,
)

# Offsets


DATA = content(4 * PART)
DURABLE = 2 * PART


@pytest.mark.parametrize(
    ("messages", "position", "skipped"),
    [
        # Absent: right behind what is durable.
        ([(None, DURABLE, DURABLE + 100)], DURABLE + 100, 0),
        # Said, and the same.
        ([(DURABLE, DURABLE, DURABLE + 100)], DURABLE + 100, 0),
        # The first data may begin anywhere below; what is durable is skipped, over several messages.
        ([(0, 0, 10), (None, 10, DURABLE), (None, DURABLE, DURABLE + 5)], DURABLE + 5, DURABLE),
        ([(DURABLE - 7, DURABLE - 7, DURABLE + 5)], DURABLE + 5, 7),
        ([(5, 5, 10), (10, 10, DURABLE + 1)], DURABLE + 1, DURABLE - 5),
        # A first message without data names the session only: the offset may come with the first data.
        ([(None, 0, 0), (0, 0, DURABLE + 5)], DURABLE + 5, DURABLE),
        ([(None, 0, 0), (DURABLE, DURABLE, DURABLE + 5)], DURABLE + 5, 0),
        ([(100, 0, 0), (None, 100, DURABLE + 5)], DURABLE + 5, DURABLE - 100),
        ([(100, 0, 0), (50, 50, DURABLE + 5)], DURABLE + 5, DURABLE - 50),
        # An empty message may say where it stands.
        ([(0, 0, 10), (10, 10, 10), (10, 10, DURABLE)], DURABLE, DURABLE),
    ],
)
async def test_offsets_that_fit(
    rig: UploadRig, replica: Replica, messages: list[tuple[int | None, int, int]], position: int, skipped: int
) -> None:
    """Each message is `(offset, first byte, end)`: taken, and the document is right in the end."""
    session = await opened(replica, DATA[: DURABLE + 10])
    assert session.persisted_size == DURABLE
    sent = [message(DATA[a:b], offset=offset, crc=crc_of(DATA[a:b])) for offset, a, b in messages]
    sent[0] = replace(sent[0], target=session.upload_id)
    done = await committed(replica.run(*sent, message(DATA[position:], offset=position, finish=True)))
    await rig.check_whole(done.document, DATA)
    assert done.receipt.bytes_skipped == skipped


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        ([DURABLE + 1], DURABLE),  # beyond what is durable
        ([DURABLE + PART], DURABLE),
        ([0, 9], 10),  # an overlap that is not at the stream's beginning
        ([0, 11], 10),
        ([DURABLE, DURABLE], DURABLE + 10),  # the same again
        ([DURABLE, DURABLE + 11], DURABLE + 10),
        ([None, DURABLE], DURABLE + 10),
        ([None, 0], DURABLE + 10),
    ],
)
async def test_offsets_that_do_not_fit(
    rig: UploadRig, replica: Replica, offsets: list[int | None], expected: int
) -> None:
    """Messages of ten bytes at these offsets: the last is refused, and the client is told where to go on."""
    session = await opened(replica, DATA[:DURABLE])
    sent = [message(content(10), offset=offset) for offset in offsets]
    sent[0] = replace(sent[0], target=session.upload_id)
    with pytest.raises(errors.OffsetGap) as refused:
        await replica.run(*sent)
    assert refused.value.metadata["expected_offset"] == str(expected)
    assert refused.value.metadata["persisted_size"] == str(DURABLE)
    assert (await rig.nothing_committed()).state is UploadState.ACTIVE


async def test_a_new_session_begins_at_zero(replica: Replica) -> None:
    """An offset beyond nothing is a gap."""
    with pytest.raises(errors.OffsetGap) as refused:
        await replica.run(message(b"x", to=spec(), offset=1))
    assert refused.value.metadata["expected_offset"] == "0"


@pytest.mark.parametrize("resumed_with", [None, DURABLE])
async def test_a_spec_that_finds_its_session_may_say_where_it_goes_on(
    rig: UploadRig, replica: Replica, resumed_with: int | None
) -> None:
    """Without an offset a spec begins at byte 0; with the announced size it goes on from there."""
    asked = spec(request_id="r")
    await stopped(replica.run(*stream(DATA[: DURABLE + 1], to=asked, finish=False)))
    start = resumed_with or 0
    done = await committed(replica.run(message(to=asked), message(DATA[start:], offset=resumed_with, finish=True)))
    await rig.check_whole(done.document, DATA)
    assert done.receipt.bytes_skipped == DURABLE - start


# Wrong bytes


async def test_a_wrong_crc_leaves_the_session_to_go_on(rig: UploadRig, replica: Replica) -> None:
    """The network's fault: what was right is durable, and the client sends again."""
    data = content(3 * PART)
    first, damaged = message(data[: 2 * PART + 9], to=spec()), message(data[2 * PART + 9 :], crc=1, finish=True)
    with pytest.raises(errors.ChecksumMismatch) as refused:
        await replica.run(first, damaged)
    assert refused.value.metadata["offset"] == str(2 * PART + 9)
    session = await rig.nothing_committed()
    assert session.state is UploadState.ACTIVE
    done = await committed(replica.run(*stream(data, to=session.upload_id, offset=0)))
    await rig.check_whole(done.document, data)


async def test_the_crc_covers_what_is_skipped_as_well(replica: Replica) -> None:
    """An overlap is not stored again, but a client that sends other bytes there has something wrong."""
    session = await opened(replica, DATA[:DURABLE])
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(message(b"\0" * 10, to=session.upload_id, offset=0, crc=crc_of(DATA[:10])))


@pytest.mark.parametrize("size", [0, 100, 3 * PART + 9])
@pytest.mark.parametrize("where", ["before", "after", "contradiction"])
async def test_a_wrong_digest_ends_the_session(rig: UploadRig, replica: Replica, size: int, where: str) -> None:
    """The document is not what the uploader meant: nothing becomes visible, and the session is FAILED."""
    data = content(size)
    before = {"sha256": "0" * 64 if where == "before" else digest(data)} if where != "after" else {}
    messages = stream(data, to=spec(**before))
    if where != "before":
        messages[-1] = replace(messages[-1], sha256="f" * 64)
    with pytest.raises(errors.ChecksumMismatch) as refused:
        await replica.run(*messages)
    assert refused.value.metadata["computed"] == digest(data)
    session = await rig.nothing_committed()
    assert (session.state, session.error_reason) == (UploadState.FAILED, "CHECKSUM_MISMATCH")
    assert replica.removals, "the janitor is told that there is something to remove"
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(message(to=session.upload_id))


@pytest.mark.parametrize(
    ("declared", "at_end", "sent"),
    [
        (10, None, 9),
        (10, None, 11),
        (0, None, 1),
        (1, None, 0),
        (None, 10, 9),
        (None, 10, 11),
        (None, 0, 1),
        (10, 9, 9),
        (10, 9, 10),
        (3 * PART, None, 3 * PART - 1),
        (3 * PART, None, 3 * PART + 1),
        (3 * PART, None, 5 * PART),
    ],
)
async def test_another_size_than_declared_commits_nothing(
    rig: UploadRig, replica: Replica, declared: int | None, at_end: int | None, sent: int
) -> None:
    """Too short, too long, or contradicting itself: refused, and the session can still be put right."""
    messages = stream(content(sent), to=spec(size=declared))
    messages[-1] = replace(messages[-1], size=at_end)
    with pytest.raises(errors.SizeMismatch):
        await replica.run(*messages)
    assert (await rig.nothing_committed()).state is UploadState.ACTIVE


async def test_an_end_below_what_is_durable_is_a_wrong_size(rig: UploadRig, replica: Replica) -> None:
    """A persisted size never decreases, so the document cannot end there."""
    session = await opened(replica, DATA[:DURABLE])
    for end in (0, DURABLE - 1):
        with pytest.raises(errors.SizeMismatch, match=f"durable: {DURABLE}"):
            await replica.run(message(DATA[:end], to=session.upload_id, offset=0, finish=True))
    done = await committed(replica.run(message(to=session.upload_id, finish=True)))
    await rig.check_whole(done.document, DATA[:DURABLE])


async def test_too_large_a_document_is_refused_for_good(rig: UploadRig) -> None:
    """Without a declared size it shows only on the way; nothing beyond the limit is stored."""
    replica = rig.replica(replace(OPTIONS, max_document_size=2 * PART))
    data = content(2 * PART + 1)
    with pytest.raises(errors.DocumentTooLarge) as refused:
        await replica.run(*stream(data, to=spec()))
    assert refused.value.metadata["limit"] == str(2 * PART)
    session = await rig.nothing_committed()
    assert (session.state, session.error_reason) == (UploadState.FAILED, "DOCUMENT_TOO_LARGE")
    await committed(replica.run(*stream(data[:-1], to=spec())))


@pytest.mark.parametrize("size", [200, 3 * PART])
async def test_bytes_of_another_type_are_refused_for_good(rig: UploadRig, replica: Replica, size: int) -> None:
    """A PNG that says it is a PDF: nothing of it is stored."""
    data = b"\x89PNG\r\n\x1a\n" + content(size)
    with pytest.raises(errors.ContentTypeMismatch):
        await replica.run(*stream(data, to=spec(content_type="application/pdf", filename="a.pdf")))
    session = await rig.nothing_committed()
    assert (session.state, session.error_reason) == (UploadState.FAILED, "CONTENT_TYPE_MISMATCH")
    assert replica.store.count("put") + replica.store.count("put_part") == 0
    assert replica.ledger.count("fail") == 1


# Messages that are wrong in themselves


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"target": "01900000-0000-7000-8000-000000000001"}, ["target"]),
        ({"target": spec()}, ["target"]),
        ({"offset": -1}, ["write_offset"]),
        ({"sha256": "0" * 64}, ["sha256"]),
        ({"size": 5}, ["size"]),
        ({"finish": True, "sha256": "XYZ"}, ["sha256"]),
        ({"finish": True, "sha256": "A" * 64}, ["sha256"]),
        ({"finish": True, "size": -5}, ["size"]),
        ({"target": spec(), "offset": -1, "size": -1, "sha256": ""}, ["target", "write_offset", "size", "sha256"]),
    ],
)
async def test_a_malformed_message_is_refused_by_field(
    rig: UploadRig, replica: Replica, wrong: dict[str, Any], fields: list[str]
) -> None:
    """All that is wrong with it at once; the session is not harmed."""
    with pytest.raises(errors.InvalidRequest) as refused:
        await replica.run(message(content(PART), to=spec()), replace(message(b"x"), **wrong))
    assert list(dict.fromkeys(violation.field for violation in refused.value.violations)) == fields
    assert (await rig.nothing_committed()).state is UploadState.ACTIVE


async def test_the_first_message_has_to_name_a_session(replica: Replica) -> None:
    """Bytes that belong to nothing are not taken."""
    with pytest.raises(errors.InvalidRequest, match="target"):
        await replica.run(message(b"x"))


async def test_an_invalid_spec_makes_no_session(rig: UploadRig, replica: Replica) -> None:
    """Every violation is told before anything is opened."""
    with pytest.raises(errors.InvalidRequest, match="filename"):
        await replica.run(message(b"x", to=spec(filename="", content_type="?"), finish=True))
    assert replica.ledger.calls == []


@pytest.mark.parametrize(
    ("upload_id", "refusal"),
    [
        ("nonsense", errors.InvalidRequest),
        ("", errors.InvalidRequest),
        ("01900000-0000-7000-8000-000000000001", errors.UploadNotFound),
    ],
)
async def test_an_unknown_session_is_refused(
    replica: Replica, upload_id: str, refusal: type[errors.LedgerLiftError]
) -> None:
    """Malformed and unknown are different mistakes."""
    with pytest.raises(refusal):
        await replica.run(message(to=upload_id))


async def test_another_owners_session_is_not_found(replica: Replica) -> None:
    """And its holder is not disturbed."""
    session = await opened(replica, content(PART))
    with pytest.raises(errors.UploadNotFound):
        await replica.run(message(content(5), to=session.upload_id), by=caller("mallory"))
    await committed(replica.run(message(to=session.upload_id, finish=True)))


@pytest.mark.parametrize(
    ("declared", "sent"), [({"size": 2 * PART}, 2 * PART), ({"size": 100}, 100), ({"size": 0}, 0)]
)
async def test_a_declared_size_does_not_commit_by_itself(
    rig: UploadRig, replica: Replica, declared: dict[str, int], sent: int
) -> None:
    """All bytes are there, but nobody said that it is the end."""
    await stopped(replica.run(*stream(content(sent), to=spec(**declared), finish=False)))
    await rig.nothing_committed()
