"""Visible objects: what is put is what is read, whole or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from crc32c import crc32c
from ledgerlift_server.domain.store_port import IntegrityRefused, NoSuchObject, ObjectStore

from tests.support.object_stores import PART, SESSION, Kind, content, put

NAME = "objects/ab/0199-aa.3"


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART])
async def test_what_is_put_is_read(store: ObjectStore, size: int) -> None:
    """Every byte, its size, and the token it was put with."""
    data = content(size)
    await put(store, NAME, data)
    info = await store.stat(NAME)
    assert (info.name, info.size, info.token) == (NAME, size, SESSION)
    assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=5)
    assert await store.read(NAME, 0, size + 1) == data


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (0, 10), (9, 1), (9, 5), (3, 4), (0, 11), (10, 1), (10, 0), (11, 1), (4, 0), (1000, 1000)],
)
async def test_ranges_are_exact(store: ObjectStore, offset: int, length: int) -> None:
    """Exactly the bytes that were asked for; fewer, or none, only where the object ends."""
    data = b"0123456789"
    await put(store, NAME, data)
    assert await store.read(NAME, offset, length) == data[offset : offset + length]


async def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    """It is there, it has a size, and reading it gives nothing."""
    await put(store, NAME, b"")
    assert (await store.stat(NAME)).size == 0
    assert await store.read(NAME, 0, 100) == b""
    assert [name for name, _ in (await store.list_objects(after=None, limit=10)).names] == [NAME]


@pytest.mark.parametrize("length", [0, 1])
async def test_what_is_not_there_cannot_be_read(store: ObjectStore, length: int) -> None:
    """Neither its facts nor its bytes, not even none of them."""
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)
    with pytest.raises(NoSuchObject):
        await store.read(NAME, 0, length)


async def test_a_put_replaces(store: ObjectStore) -> None:
    """The older object of that name is gone, with its token."""
    older, newer = "session-1", "session-2"
    await put(store, NAME, b"old", token=older)
    await put(store, NAME, b"newer", token=newer)
    info = await store.stat(NAME)
    assert (info.size, info.token) == (5, newer)
    assert await store.read(NAME, 0, 100) == b"newer"


async def test_wrong_bytes_are_refused(store: ObjectStore, kind: Kind) -> None:
    """Bytes that are not what their checksum says become no object, and the older one stays.

    moto takes them: what it cannot do is why the real server is here.
    """
    await put(store, NAME, b"right")
    if not kind.checks_bytes:
        await store.put(NAME, memoryview(b"wrong"), crc32c=crc32c(b"right"), token=SESSION)
        assert await store.read(NAME, 0, 10) == b"wrong"
        return
    with pytest.raises(IntegrityRefused):
        await store.put(NAME, memoryview(b"wrong"), crc32c=crc32c(b"right"), token=SESSION)
    assert await store.read(NAME, 0, 10) == b"right"


async def test_deleting_twice_is_fine(store: ObjectStore) -> None:
    """Gone after the first, and nobody minds the second, nor one of what never was."""
    await put(store, NAME, b"data")
    await put(store, NAME + "4", b"neighbour")
    await store.delete(NAME)
    await store.delete(NAME)
    await store.delete("objects/zz/never")
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)
    assert await store.read(NAME + "4", 0, 10) == b"neighbour"


async def test_lists_go_in_pages(store: ObjectStore) -> None:
    """In the order of the names' bytes, each once, also where a slash and a dot compete for the order."""
    names = sorted(
        [
            "objects/a.b/1",
            "objects/a/1",
            "objects/a/1.2",
            "objects/a/10",
            "objects/a/2",
            "objects/a0/1",
            "objects/a-/1",
        ]
    )
    for name in reversed(names):
        await put(store, name, b"x")
    seen: list[str] = []
    after: str | None = None
    pages = 0
    while pages == 0 or after is not None:
        page = await store.list_objects(after=after, limit=3)
        assert len(page.names) <= 3
        seen += [name for name, _ in page.names]
        after, pages = page.next_after, pages + 1
    assert seen == names
    assert pages == 3


@pytest.mark.parametrize(
    ("after", "first"),
    [
        ("objects/a/1", "objects/a/2"),
        ("objects/a/15", "objects/a/2"),
        ("objects/b", "objects/b/1"),
        ("objects/c", None),
    ],
)
async def test_a_list_begins_behind_any_name(store: ObjectStore, after: str, first: str | None) -> None:
    """Behind one that is there, one that is not, and a folder's."""
    for name in ("objects/a/1", "objects/a/2", "objects/b/1"):
        await put(store, name, b"x")
    names = (await store.list_objects(after=after, limit=10)).names
    assert (names[0][0] if names else None) == first


async def test_an_empty_store_lists_nothing(store: ObjectStore) -> None:
    """One page, and it is the last."""
    page = await store.list_objects(after=None, limit=10)
    assert (page.names, page.next_after) == ((), None)
    assert list(await store.list_multiparts(limit=10)) == []


async def test_many_at_once(store: ObjectStore) -> None:
    """Forty tasks put, read and delete side by side; each finds its own bytes."""

    async def one(number: int) -> None:
        name, data = f"objects/{number % 7}/{number}", content(10_000 + number, number)
        await put(store, name, data, token=str(number))
        assert (await store.stat(name)).token == str(number)
        assert await store.read(name, 0, 20_000) == data
        await store.delete(name)

    await asyncio.gather(*map(one, range(40)))
    assert (await store.list_objects(after=None, limit=10)).names == ()
