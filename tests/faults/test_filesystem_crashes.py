"""A crash between any two system calls of the file store leaves the object as it was, or whole, and no litter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledgerlift_server.adapters.filesystem import FilesystemStore
from ledgerlift_server.domain.store_port import NoSuchMultipart, NoSuchObject

from tests.support.file_crashes import (
    NAME,
    NEWER,
    NEWER_TOKEN,
    OLDER,
    OLDER_TOKEN,
    PARTS,
    put,
    put_part,
)
from tests.support.object_stores import OpenFileStore
from tests.support.tools import ROOT

WHOLE = b"".join(PARTS)
Seen = tuple[bytes, str] | None


def crash_everywhere(scenario: str, folder: Path) -> Iterator[Path]:
    """The roots that a crash before each call left behind, then the one of the run without a crash."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.file_crashes", scenario, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    crashed = sorted((root for root in folder.iterdir() if root.name.isdigit()), key=lambda root: int(root.name))
    assert len(crashed) > 3, "there are more calls than that"
    yield from crashed
    yield folder / "end"


def upload_of(root: Path) -> str:
    """The multipart upload of a scenario that has one."""
    return root.with_suffix(".upload").read_text()


async def visible(store: FilesystemStore) -> Seen:
    """Bytes and token of the object, None where there is none; list, stat and read have to agree."""
    listed = [name for name, _ in (await store.list_objects(after=None, limit=10)).names]
    try:
        info = await store.stat(NAME)
    except NoSuchObject:
        assert listed == []
        return None
    assert listed == [NAME]
    data = await store.read(NAME, 0, info.size + 1)
    assert len(data) == info.size
    return data, info.token


async def assert_no_litter(store: FilesystemStore, root: Path) -> None:
    """After a start there is nothing on the disk but what can be seen or aborted."""
    await store.start()
    assert list((root / "temporary").iterdir()) == []
    assert list((root / "trash").iterdir()) == []
    unfinished = {found.multipart_id for found in await store.list_multiparts(limit=10)}
    assert {path.name for path in (root / "multiparts").iterdir()} == unfinished
    segments = {path.name for path in (root / "segments").iterdir()}
    if await visible(store) is None:
        assert segments <= unfinished
    else:
        assert len(segments - unfinished) <= 1


@pytest.mark.parametrize(
    ("scenario", "before"),
    [("put", None), ("replace", (OLDER, OLDER_TOKEN)), ("replace-parts", (WHOLE, NEWER_TOKEN))],
)
async def test_a_put(scenario: str, before: Seen, tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The older object or the newer one, each with its own token; the same put works afterwards."""
    after: Seen = (NEWER, NEWER_TOKEN)
    seen: list[Seen] = []
    for root in crash_everywhere(scenario, tmp_path):
        store = open_file_store(root)
        seen.append(await visible(store))
        await assert_no_litter(store, root)
        await put(store, NEWER, NEWER_TOKEN)
        assert await visible(store) == after
        assert list((root / "segments").iterdir()) == []
        store.close()
    assert seen[0] == before
    assert seen[-1] == after
    assert set(seen) == {before, after}
    assert seen == sorted(seen, key=lambda state: state == after), "what was there once stays"


async def test_beginning_an_upload(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """What is left of an upload whose id nobody has heard of can be listed and aborted."""
    begun: list[int] = []
    for root in crash_everywhere("create", tmp_path):
        store = open_file_store(root)
        await assert_no_litter(store, root)
        uploads = await store.list_multiparts(limit=10)
        begun.append(len(uploads))
        for upload in uploads:
            await store.abort_multipart(upload.name, upload.multipart_id)
        assert list((root / "multiparts").iterdir()) == list((root / "segments").iterdir()) == []
        store.close()
    assert begun == sorted(begun)
    assert set(begun) == {0, 1}


async def test_a_part_that_is_replaced(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The older part or the newer one, whole, by size and by checksum; the upload goes on."""
    sizes: list[int] = []
    for root in crash_everywhere("part", tmp_path):
        store, upload = open_file_store(root), upload_of(root)
        await assert_no_litter(store, root)
        first, second, _ = await store.list_parts(NAME, upload)
        sizes.append(first.size)
        await store.complete_multipart(NAME, upload, [first, second])
        assert await visible(store) == (({len(PARTS[0]): PARTS[0]}.get(first.size, NEWER)) + PARTS[1], NEWER_TOKEN)
        store.close()
    assert sizes == sorted(sizes)
    assert set(sizes) == {len(PARTS[0]), len(NEWER)}


async def test_completing(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """An unfinished upload as it was, to be completed again; or the whole object, and no upload any more."""
    completed: list[bool] = []
    for root in crash_everywhere("complete", tmp_path):
        store, upload = open_file_store(root), upload_of(root)
        seen = await visible(store)
        completed.append(seen is not None)
        if seen is None:
            parts = list(await store.list_parts(NAME, upload))
            assert [part.size for part in parts[:2]] == [len(part) for part in PARTS]
            assert [found.multipart_id for found in await store.list_multiparts(limit=10)] == [upload]
            await store.complete_multipart(NAME, upload, parts[:2])
        assert await visible(store) == (WHOLE, NEWER_TOKEN)
        with pytest.raises(NoSuchMultipart):
            await put_part(store, upload, 1, b"late")
        with pytest.raises(NoSuchMultipart):
            await store.complete_multipart(NAME, upload, [])
        with pytest.raises(NoSuchMultipart):
            await store.abort_multipart(NAME, upload)
        await assert_no_litter(store, root)
        assert await visible(store) == (WHOLE, NEWER_TOKEN)
        store.close()
    assert completed == sorted(completed)
    assert set(completed) == {False, True}


@pytest.mark.parametrize("late", ["list", "put_part", "abort"])
async def test_who_comes_first_after_a_crash_does_not_matter(
    late: str, tmp_path: Path, open_file_store: OpenFileStore
) -> None:
    """Between the object's appearance and the upload's end, a list, a late part or an abort changes no byte."""
    for root in crash_everywhere("complete", tmp_path):
        store, upload = open_file_store(root), upload_of(root)
        if await visible(store) is not None:
            match late:
                case "list":
                    assert list(await store.list_multiparts(limit=10)) == []
                case "put_part":
                    with pytest.raises(NoSuchMultipart):
                        await put_part(store, upload, 2, b"late")
                case "abort":
                    with pytest.raises(NoSuchMultipart):
                        await store.abort_multipart(NAME, upload)
            assert await visible(store) == (WHOLE, NEWER_TOKEN)
            assert list((root / "multiparts").iterdir()) == []
        store.close()


async def test_aborting(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """Whatever is left is aborted by the next abort, and then there is nothing."""
    for root in crash_everywhere("abort", tmp_path):
        store, upload = open_file_store(root), upload_of(root)
        assert await visible(store) is None
        for _ in range(2):
            try:
                await store.abort_multipart(NAME, upload)
            except NoSuchMultipart:
                break
        await assert_no_litter(store, root)
        assert list((root / "multiparts").iterdir()) == list((root / "segments").iterdir()) == []
        store.close()


async def test_deleting(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The whole object or none, and in the end not a byte of it."""
    there: list[bool] = []
    for root in crash_everywhere("delete", tmp_path):
        store = open_file_store(root)
        seen = await visible(store)
        assert seen in (None, (WHOLE, NEWER_TOKEN))
        there.append(seen is not None)
        await assert_no_litter(store, root)
        await store.delete(NAME)
        assert await visible(store) is None
        assert list((root / "segments").iterdir()) == []
        store.close()
    assert there == sorted(there, reverse=True)
    assert set(there) == {True, False}
