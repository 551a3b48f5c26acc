"""Multipart uploads: an object of exactly the listed parts, or none."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from crc32c import crc32c
from ledgerlift_server.adapters.s3.integrity import UNKNOWN_CRC32C
from ledgerlift_server.domain.store_port import (
    IntegrityRefused,
    InvalidPart,
    NoSuchMultipart,
    NoSuchObject,
    ObjectStore,
)
from ledgerlift_server.domain.upload_models import StoredPart

from tests.support.object_stores import PART, SESSION, Kind, content, put, put_part, put_parts

NAME = "objects/ab/0199-aa"
GIB = 1024**3
SMALL = b"the last part may be small"


@pytest.mark.parametrize("size", [1, PART - 1, PART, PART + 1, 3 * PART + 1])
async def test_the_parts_become_the_object(store: ObjectStore, size: int) -> None:
    """Every byte in order, also across the parts' borders, with the token the upload was begun with."""
    data = content(size)
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = await put_parts(store, NAME, upload, data)
    assert [(part.number, part.size) for part in parts] == [
        (number, len(data[start : start + PART])) for number, start in enumerate(range(0, size, PART), start=1)
    ]
    await store.complete_multipart(NAME, upload, parts)
    info = await store.stat(NAME)
    assert (info.size, info.token) == (size, SESSION)
    assert await store.read(NAME, 0, size) == data
    for offset in {0, 1, PART - 1, PART, PART + 1, 2 * PART - 3, size - 1, size}:
        assert await store.read(NAME, offset, 7) == data[offset : offset + 7]
    assert await store.read(NAME, 3, size) == data[3:]


@pytest.mark.gib
@pytest.mark.timeout(600)
async def test_a_document_of_a_gibibyte(store: ObjectStore) -> None:
    """All of it, by its digest, in parts that no two are alike."""
    block, sent, upload = content(PART), hashlib.sha256(), await store.create_multipart(NAME, token=SESSION)
    parts = []
    for number in range(1, GIB // PART + 2):
        data = (number.to_bytes(4) + block[4:])[: GIB - (number - 1) * PART]
        sent.update(data)
        parts.append(await put_part(store, NAME, upload, number, data))
    await store.complete_multipart(NAME, upload, parts)
    assert (await store.stat(NAME)).size == GIB
    read = hashlib.sha256()
    for offset in range(0, GIB, PART):
        read.update(await store.read(NAME, offset, PART))
    assert read.digest() == sent.digest()


async def test_nothing_is_visible_before_the_end(store: ObjectStore) -> None:
    """Neither to stat, nor to read, nor in the list."""
    upload = await store.create_multipart(NAME, token=SESSION)
    await put_part(store, NAME, upload, 1, content(PART))
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)
    with pytest.raises(NoSuchObject):
        await store.read(NAME, 0, 1)
    assert (await store.list_objects(after=None, limit=10)).names == ()
    await store.abort_multipart(NAME, upload)


async def test_parts_go_side_by_side(store: ObjectStore, kind: Kind) -> None:
    """Four at once, in any order; what counts is their numbers."""
    data = content(4 * PART + 5)
    upload = await store.create_multipart(NAME, token=SESSION)
    numbers = [5, 3, 1, 4, 2]
    stored = await asyncio.gather(
        *(put_part(store, NAME, upload, number, data[(number - 1) * PART : number * PART]) for number in numbers)
    )
    parts = sorted(stored, key=lambda part: part.number)
    expected = parts if kind.lists_checksums else _without_checksums(parts)
    assert list(await store.list_parts(NAME, upload)) == expected
    await store.complete_multipart(NAME, upload, parts)
    assert await store.read(NAME, 0, len(data)) == data


async def test_parts_are_listed_with_what_the_ledger_compares(store: ObjectStore, kind: Kind) -> None:
    """Number, size, ETag and CRC-32C, as they were acknowledged; moto does not tell the CRC-32C."""
    upload = await store.create_multipart(NAME, token=SESSION)
    assert list(await store.list_parts(NAME, upload)) == []
    second = await put_part(store, NAME, upload, 2, SMALL)
    first = await put_part(store, NAME, upload, 1, content(PART))
    expected = [first, second] if kind.lists_checksums else _without_checksums([first, second])
    assert list(await store.list_parts(NAME, upload)) == expected
    assert (second.size, second.crc32c) == (len(SMALL), crc32c(SMALL))
    await store.abort_multipart(NAME, upload)


async def test_a_part_replaced_by_other_bytes_is_noticed(store: ObjectStore, kind: Kind) -> None:
    """The ETag in the ledger is not the stored part's any more; with the listed one the object is the new bytes."""
    upload = await store.create_multipart(NAME, token=SESSION)
    first = await put_part(store, NAME, upload, 1, content(PART))
    last = await put_part(store, NAME, upload, 2, SMALL)
    replaced = await put_part(store, NAME, upload, 1, content(PART, seed=1))
    assert replaced.etag != first.etag
    with pytest.raises(InvalidPart):
        await store.complete_multipart(NAME, upload, [first, last])
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)
    listed = list(await store.list_parts(NAME, upload))
    assert [part.etag for part in listed] == [replaced.etag, last.etag]
    if not kind.lists_checksums:
        listed = [replaced, last]
    await store.complete_multipart(NAME, upload, listed)
    assert await store.read(NAME, 0, 2 * PART) == content(PART, seed=1) + SMALL


async def test_a_part_replaced_by_itself_does_no_harm(store: ObjectStore) -> None:
    """A retry whose first answer was lost stores the same bytes again."""
    upload = await store.create_multipart(NAME, token=SESSION)
    first = await put_part(store, NAME, upload, 1, SMALL)
    again = await put_part(store, NAME, upload, 1, SMALL)
    assert again == first
    await store.complete_multipart(NAME, upload, [first])
    assert await store.read(NAME, 0, 100) == SMALL


async def test_a_missing_part_is_noticed(store: ObjectStore) -> None:
    """What was never stored cannot be listed."""
    upload = await store.create_multipart(NAME, token=SESSION)
    part = await put_part(store, NAME, upload, 1, content(PART))
    with pytest.raises(InvalidPart):
        await store.complete_multipart(NAME, upload, [part, replace(part, number=2)])
    await store.complete_multipart(NAME, upload, [part])


async def test_an_object_has_at_least_one_part(store: ObjectStore) -> None:
    """An empty list completes nothing, and the upload stays."""
    upload = await store.create_multipart(NAME, token=SESSION)
    with pytest.raises(InvalidPart):
        await store.complete_multipart(NAME, upload, [])
    await store.abort_multipart(NAME, upload)


async def test_parts_that_are_not_listed_are_left_out(store: ObjectStore) -> None:
    """The object is exactly what was listed: here without what a fenced holder stored behind the end."""
    data = content(PART) + SMALL
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = await put_parts(store, NAME, upload, data)
    await put_part(store, NAME, upload, 3, b"late")
    await store.complete_multipart(NAME, upload, parts)
    assert (await store.stat(NAME)).size == len(data)
    assert await store.read(NAME, 0, len(data) + 10) == data


async def test_wrong_bytes_are_refused(store: ObjectStore, kind: Kind) -> None:
    """A part that is not what its checksum says is not stored, and the older one of its number stays."""
    upload = await store.create_multipart(NAME, token=SESSION)
    right = await put_part(store, NAME, upload, 1, b"right")
    if not kind.checks_bytes:
        taken = await store.put_part(NAME, upload, 1, memoryview(b"wrong"), crc32c=crc32c(b"right"))
        assert taken.etag != right.etag
        return
    with pytest.raises(IntegrityRefused):
        await store.put_part(NAME, upload, 1, memoryview(b"wrong"), crc32c=crc32c(b"right"))
    assert list(await store.list_parts(NAME, upload)) == [right]
    await store.complete_multipart(NAME, upload, [right])
    assert await store.read(NAME, 0, 10) == b"right"


async def test_completing_twice_is_safe(store: ObjectStore) -> None:
    """The second is told success or NoSuchMultipart, stores differ; the object stays as it is either way."""
    upload = await store.create_multipart(NAME, token=SESSION)
    part = await put_part(store, NAME, upload, 1, SMALL)
    await store.complete_multipart(NAME, upload, [part])
    before = await store.stat(NAME)
    with suppress(NoSuchMultipart):
        await store.complete_multipart(NAME, upload, [part])
    after = await store.stat(NAME)
    assert (after.size, after.token, after.modified) == (before.size, before.token, before.modified)
    assert await store.read(NAME, 0, 100) == SMALL


async def test_completing_at_once_from_everywhere_is_safe(store: ObjectStore, kind: Kind) -> None:
    """Several replicas drive one commit: whatever each is told, there is one whole object."""
    data = content(2 * PART + 1)
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = await put_parts(store, NAME, upload, data)
    answers = await asyncio.gather(
        *(store.complete_multipart(NAME, upload, parts) for _ in range(4)), return_exceptions=True
    )
    if kind.name == "filesystem":
        assert answers.count(None) == 1
        assert sum(isinstance(answer, NoSuchMultipart) for answer in answers) == 3
    assert None in answers
    info = await store.stat(NAME)
    assert (info.size, info.token) == (len(data), SESSION)
    assert await store.read(NAME, 0, len(data)) == data


async def test_after_the_end_there_is_no_upload(store: ObjectStore, kind: Kind) -> None:
    """No part can get into an object that is visible, nothing can be listed or aborted, and the object stays."""
    upload = await store.create_multipart(NAME, token=SESSION)
    part = await put_part(store, NAME, upload, 1, SMALL)
    await store.complete_multipart(NAME, upload, [part])
    with pytest.raises(kind.write_to_no_upload):
        await put_part(store, NAME, upload, 1, b"late")
    with pytest.raises(NoSuchMultipart):
        await store.list_parts(NAME, upload)
    with pytest.raises(NoSuchMultipart):
        await store.abort_multipart(NAME, upload)
    assert list(await store.list_multiparts(limit=10)) == []
    assert await store.read(NAME, 0, 100) == SMALL


async def test_aborting_removes_the_parts(store: ObjectStore, kind: Kind) -> None:
    """Once; after that there is no such upload, for anything."""
    upload = await store.create_multipart(NAME, token=SESSION)
    part = await put_part(store, NAME, upload, 1, SMALL)
    await store.abort_multipart(NAME, upload)
    with pytest.raises(NoSuchMultipart):
        await store.abort_multipart(NAME, upload)
    with pytest.raises(kind.write_to_no_upload):
        await store.complete_multipart(NAME, upload, [part])
    with pytest.raises(NoSuchMultipart):
        await store.list_parts(NAME, upload)
    with pytest.raises(kind.write_to_no_upload):
        await put_part(store, NAME, upload, 1, SMALL)
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)
    assert list(await store.list_multiparts(limit=10)) == []


@pytest.mark.parametrize("upload", ["no-such-upload", "../../etc", "0" * 32])
async def test_an_upload_that_never_was(store: ObjectStore, kind: Kind, upload: str) -> None:
    """Whatever its id looks like."""
    with pytest.raises(kind.write_to_no_upload):
        await put_part(store, NAME, upload, 1, SMALL)
    with pytest.raises(NoSuchMultipart):
        await store.abort_multipart(NAME, upload)
    with pytest.raises(NoSuchMultipart):
        await store.list_parts(NAME, upload)


async def test_an_upload_belongs_to_its_name(store: ObjectStore, kind: Kind) -> None:
    """The id of one object's upload means nothing for another object."""
    upload = await store.create_multipart(NAME, token=SESSION)
    if kind.name != "moto":  # does not look at the name
        with pytest.raises(NoSuchMultipart):
            await store.abort_multipart(NAME + "b", upload)
    assert [found.multipart_id for found in await store.list_multiparts(limit=10)] == [upload]
    await store.abort_multipart(NAME, upload)


async def test_two_uploads_of_one_name_do_not_meet(store: ObjectStore) -> None:
    """Each has its own parts; the one that completes last is the object."""
    one = await store.create_multipart(NAME, token=SESSION)
    two = await store.create_multipart(NAME, token=SESSION)
    assert one != two
    part_of_one = await put_part(store, NAME, one, 1, b"one")
    part_of_two = await put_part(store, NAME, two, 1, b"two")
    await store.complete_multipart(NAME, one, [part_of_one])
    assert await store.read(NAME, 0, 10) == b"one"
    await store.complete_multipart(NAME, two, [part_of_two])
    assert await store.read(NAME, 0, 10) == b"two"


async def test_an_object_of_parts_can_be_replaced_and_deleted(store: ObjectStore) -> None:
    """As any other."""
    for delete in (False, True):
        upload = await store.create_multipart(NAME, token=SESSION)
        part = await put_part(store, NAME, upload, 1, SMALL)
        await store.complete_multipart(NAME, upload, [part])
        if delete:
            await store.delete(NAME)
            with pytest.raises(NoSuchObject):
                await store.read(NAME, 0, 1)
        else:
            await put(store, NAME, b"single")
            assert await store.read(NAME, 0, 100) == b"single"


async def test_unfinished_uploads_are_listed_oldest_first(store: ObjectStore, kind: Kind) -> None:
    """At most as many as are asked for, with the name and the time they were begun."""
    names = [f"objects/{letter}" for letter in random.Random(7).sample("abcdef", 6)]  # noqa: S311 -- an order
    uploads = [(name, await store.create_multipart(name, token=SESSION)) for name in names]
    listed = list(await store.list_multiparts(limit=10))
    assert sorted((found.name, found.multipart_id) for found in listed) == sorted(uploads)
    assert [found.initiated for found in listed] == sorted(found.initiated for found in listed)
    now = {abs(found.initiated - datetime.now(UTC)) < timedelta(minutes=5) for found in listed}
    assert now == {kind.tells_when}
    assert len(await store.list_multiparts(limit=4)) == 4
    for name, upload in uploads:
        await store.abort_multipart(name, upload)


def _without_checksums(parts: list[StoredPart]) -> list[StoredPart]:
    return [replace(part, crc32c=UNKNOWN_CRC32C) for part in parts]
