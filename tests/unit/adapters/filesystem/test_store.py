"""What only the file store can do wrong: damaged files, a full disk, and several stores on one folder."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.domain.store_port import NoSuchMultipart, NoSuchObject
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable, StoredObjectCorrupt
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

from tests.support.clock import ManualClock
from tests.support.object_stores import MIB, SESSION, OpenFileStore, content, put, put_part
from tests.support.os_calls import watched

NAME = "objects/ab/0199-aa"


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fdatasync", "replace"])
async def test_a_disk_that_fails(call: str, failure: int, tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The caller is told to try later, nothing is half there, and no file is left behind."""
    store = open_file_store(tmp_path)
    await put(store, NAME, b"older")

    def fail(name: str, *_: Any) -> None:
        if name == call:
            raise OSError(failure, "as told")

    with watched(before=fail), pytest.raises(DependencyUnavailable, match=errno.errorcode[failure]) as told:
        await put(store, NAME, content(3 * MIB))
    assert str(tmp_path) not in str(told.value)
    assert await store.read(NAME, 0, 10) == b"older"
    assert list((tmp_path / "temporary").iterdir()) == []
    await put(store, NAME, b"newer")
    assert await store.read(NAME, 0, 10) == b"newer"


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EROFS])
async def test_a_disk_that_only_reads_is_not_well(
    failure: int, tmp_path: Path, open_file_store: OpenFileStore
) -> None:
    """Health hears of a full or read-only disk before an upload does, and a look leaves nothing behind."""
    store = open_file_store(tmp_path)
    await store.ping()
    assert not list((tmp_path / "temporary").iterdir())

    def fail(name: str, *_: Any) -> None:
        if name == "write":
            raise OSError(failure, "as told")

    with watched(before=fail), pytest.raises(DependencyUnavailable, match=errno.errorcode[failure]):
        await store.ping()
    assert not list((tmp_path / "temporary").iterdir())


async def test_a_folder_that_is_gone(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """A disk that was unmounted under a running store is the store's failure, and not that nothing is stored."""
    store = open_file_store(tmp_path / "root")
    await put(store, NAME, b"data")
    upload = await store.create_multipart(NAME, token=SESSION)
    await store.ping()
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    asked: list[Callable[[], Awaitable[object]]] = [
        store.ping,
        lambda: store.stat(NAME),
        lambda: store.read(NAME, 0, 1),
        lambda: store.delete(NAME),
        lambda: put(store, NAME, b"data"),
        lambda: put_part(store, NAME, upload, 1, b"data"),
        lambda: store.complete_multipart(NAME, upload, []),
        lambda: store.abort_multipart(NAME, upload),
        lambda: store.list_parts(NAME, upload),
        lambda: store.list_objects(after=None, limit=1),
        lambda: store.list_multiparts(limit=1),
    ]
    for ask in asked:
        with pytest.raises(DependencyUnavailable):
            await ask()
    (tmp_path / "elsewhere").rename(tmp_path / "root")
    assert await store.read(NAME, 0, 10) == b"data"


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
async def test_a_damaged_file_is_noticed(damage: str, tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """One that does not end as we end files is no object of another size."""
    store = open_file_store(tmp_path)
    await put(store, NAME, content(10_000))
    path = tmp_path / "visible" / NAME
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-1], "flipped": data[:-20] + b"\0" + data[-19:], "emptied": b""}[damage])
    with pytest.raises(StoredObjectCorrupt):
        await store.stat(NAME)
    with pytest.raises(StoredObjectCorrupt):
        await store.read(NAME, 0, 1)
    await store.delete(NAME)
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)


async def test_a_lost_segment_is_noticed(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """Whoever reads it is told that it is damaged; the rest can still be read."""
    store = open_file_store(tmp_path)
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = [await put_part(store, NAME, upload, number, content(1000, number)) for number in (1, 2)]
    await store.complete_multipart(NAME, upload, parts)
    (tmp_path / "segments" / upload / "00002").unlink()
    assert await store.read(NAME, 0, 1000) == content(1000, 1)
    with pytest.raises(StoredObjectCorrupt, match="segment 2"):
        await store.read(NAME, 999, 2)


async def test_an_object_that_is_deleted_while_it_is_read(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """It is not there, rather than damaged."""
    store = open_file_store(tmp_path)
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = [await put_part(store, NAME, upload, 1, content(1000))]
    await store.complete_multipart(NAME, upload, parts)
    opened: list[str] = []

    def delete(name: str, args: tuple[Any, ...], _: Any) -> None:
        if name == "open" and not opened:
            opened.append(args[0])  # the index is open; before its segment is, another thread deletes the object
            store._objects.delete(NAME)

    with watched(after=delete), pytest.raises(NoSuchObject):
        await store.read(NAME, 0, 1000)


async def test_a_damaged_description_hides_no_other(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The janitor still finds every upload that can be read."""
    store = open_file_store(tmp_path)
    damaged = await store.create_multipart(NAME, token=SESSION)
    whole = await store.create_multipart(NAME, token=SESSION)
    (tmp_path / "multiparts" / damaged).write_bytes(b"")
    assert [found.multipart_id for found in await store.list_multiparts(limit=10)] == [whole]


async def test_a_write_ends_at_its_deadline(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """A slow disk holds a lent buffer no longer than until the deadline."""
    store, clock = open_file_store(tmp_path), ManualClock()
    writes: list[str] = []

    def slow(name: str, *_: Any) -> None:
        if name == "write":
            writes.append(name)
            clock.advance(1.0)

    with watched(before=slow), deadline_scope(Deadline.after(2.5, clock=clock)), pytest.raises(DeadlineExceeded):
        await put(store, NAME, content(8 * MIB))
    assert len(writes) == 3
    with pytest.raises(NoSuchObject):
        await store.stat(NAME)


async def test_several_stores_share_a_folder(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """What one writes the other reads; one that starts takes nothing away from one that is writing."""
    one = open_file_store(tmp_path)
    upload = await one.create_multipart(NAME, token=SESSION)
    half_written = tmp_path / "temporary" / "half-written"
    half_written.touch()
    other = open_file_store(tmp_path)
    await other.start()
    assert half_written.exists()
    first = await put_part(one, NAME, upload, 1, b"first ")
    second = await put_part(other, NAME, upload, 2, b"second")
    answers = await asyncio.gather(
        *(store.complete_multipart(NAME, upload, [first, second]) for store in (one, other)), return_exceptions=True
    )
    assert answers.count(None) == 1
    assert await one.read(NAME, 0, 100) == await other.read(NAME, 0, 100) == b"first second"
    one.close()
    other.close()
    again = open_file_store(tmp_path)
    await again.start()
    assert not half_written.exists()
    assert os.listdir(tmp_path / "trash") == []


async def test_parts_that_were_not_listed_take_no_room(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """They go when the upload is completed, not when its object is deleted."""
    store = open_file_store(tmp_path)
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = [await put_part(store, NAME, upload, number, content(1000, number)) for number in (1, 2, 3)]
    await store.complete_multipart(NAME, upload, parts[:2])
    assert sorted(os.listdir(tmp_path / "segments" / upload)) == ["00001", "00002"]


async def test_who_waited_for_an_upload_that_ended_is_told(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """An abort that had found the upload and waited for its lock finds that there is no upload any more."""
    store = open_file_store(tmp_path)
    upload = await store.create_multipart(NAME, token=SESSION)
    description = tmp_path / "multiparts" / upload
    found = threading.Event()

    def note(name: str, args: tuple[Any, ...], _: Any) -> None:
        if name == "open" and args[0] == description:
            found.set()

    with description.open("rb") as held, watched(after=note):
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = asyncio.create_task(store.abort_multipart(NAME, upload))
        assert await asyncio.to_thread(found.wait, 20)
        description.unlink()
        fcntl.flock(held, fcntl.LOCK_UN)
        with pytest.raises(NoSuchMultipart):
            await waiting
