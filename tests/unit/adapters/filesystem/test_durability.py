"""The order of writes, syncs and renames: no power failure can be made here, but what it would take is watched."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.domain.store_port import ObjectStore

from tests.support.object_stores import MIB, SESSION, OpenFileStore, content, put, put_part
from tests.support.os_calls import watched

NAME = "objects/ab/0199-aa"


class Witness:
    """Knows what a power failure would take: bytes and names that were not synced since they were changed."""

    def __init__(self) -> None:
        self.files: set[Path] = set()
        """Files with bytes that are not on the disk."""
        self.folders: set[Path] = set()
        """Folders with names that are not on the disk."""
        self.torn: list[Path] = []
        """Files that got their names before their bytes were on the disk."""
        self._open: dict[int, Path] = {}

    def __call__(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """See `watched`."""
        match name:
            case "open":
                path = Path(args[0])
                self._open[result] = path
                if args[1] & os.O_CREAT:
                    self.folders.add(path.parent)
            case "write":
                self.files.add(self._open[args[0]])
            case "fdatasync" | "fsync":
                self.files.discard(self._open[args[0]])
                self.folders.discard(self._open[args[0]])
            case "rename" | "replace" | "link":
                source, target = map(Path, args)
                if source in self.files:
                    self.torn.append(target)
                if name != "link":
                    self.folders.add(source.parent)
                self.folders.add(target.parent)
            case "mkdir" | "unlink" | "rmdir":
                self.folders.add(Path(args[0]).parent)


async def survives(root: Path, step: Awaitable[object]) -> None:
    """Fail when a power failure right after `step` would take something of it."""
    witness = Witness()
    with watched(after=witness):
        await step
    assert witness.torn == []
    matters = {folder for folder in witness.folders if not {"temporary", "trash"} & {folder.name, folder.parent.name}}
    # A completed upload's description that comes back is taken away by whoever looks at it next.
    assert matters <= {root / "multiparts"}


async def test_every_acknowledged_change_is_on_the_disk(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """Bytes before their name, the name before the answer, folders that were made on the way included."""
    store = open_file_store(tmp_path)
    await survives(tmp_path, put(store, NAME, content(3 * MIB)))
    await survives(tmp_path, put(store, NAME, b"replaced"))
    upload = await store.create_multipart(NAME, token=SESSION)
    await survives(tmp_path, put_part(store, NAME, upload, 1, content(2 * MIB)))
    await survives(tmp_path, put_part(store, NAME, upload, 1, content(MIB)))
    parts = await store.list_parts(NAME, upload)
    await survives(tmp_path, store.complete_multipart(NAME, upload, parts))
    await survives(tmp_path, put(store, NAME, b"replaces segments"))
    await survives(tmp_path, store.delete(NAME))


async def test_an_upload_that_has_an_id_is_on_the_disk(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The ledger keeps the id: after a power failure it still has to mean something."""
    store = open_file_store(tmp_path)
    witness = Witness()
    with watched(after=witness):
        upload = await store.create_multipart(NAME, token=SESSION)
    assert witness.torn == []
    assert not witness.folders & {tmp_path / "multiparts", tmp_path / "segments"}
    witness = Witness()
    with watched(after=witness):
        await store.abort_multipart(NAME, upload)
    assert not witness.folders & {tmp_path / "multiparts", tmp_path / "segments"}


async def test_a_new_root_is_on_the_disk(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """Every folder down to the objects, from the first one that was missing."""
    witness = Witness()
    with watched(after=witness):
        store = open_file_store(tmp_path / "data" / "objects")
    assert tmp_path not in witness.folders
    assert tmp_path / "data" not in witness.folders
    await survives(tmp_path / "data" / "objects", put(store, NAME, b"data"))


async def test_completing_writes_no_byte_of_the_document(tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """The parts become the object where they lie: 24 MiB cost one small file."""
    store = open_file_store(tmp_path)
    upload = await store.create_multipart(NAME, token=SESSION)
    parts = [await put_part(store, NAME, upload, number, content(8 * MIB, number)) for number in (1, 2, 3)]
    written: list[int] = []

    def count(name: str, args: tuple[Any, ...], result: Any) -> None:
        if name == "write":
            written.append(result)

    with watched(after=count):
        await store.complete_multipart(NAME, upload, parts)
    assert sum(written) < 1000


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "a/../../out",
        "/out",
        "a//b",
        "",
        ".",
        "..",
        "a/.",
        "a/.hidden",
        "a\0b",
        "a\\..\\b",
        "a b",
        "x" * 256,
    ],
)
async def test_no_name_leads_out_of_the_root(name: str, tmp_path: Path, open_file_store: OpenFileStore) -> None:
    """Names are made by the domain; one that it would never make is a defect, whatever is asked for it."""
    store: ObjectStore = open_file_store(tmp_path / "root")
    if name.startswith("/"):
        name = str(tmp_path) + name
    for ask in (
        lambda: put(store, name, b"data"),
        lambda: store.create_multipart(name, token=SESSION),
        lambda: store.stat(name),
        lambda: store.read(name, 0, 1),
        lambda: store.delete(name),
    ):
        with pytest.raises(ValueError, match="not a name"):
            await ask()
    assert os.listdir(tmp_path) == ["root"]
