"""Visible objects. An object is one file: its bytes, or an index of the segments that hold them.

    facts of an object      name, token, size
    and of one in segments  multipart: their folder; runs: [first number, how many, size of each], in order

Parts of a multipart upload are equal but for the last, so two runs describe a document of any size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ledgerlift_server.adapters.filesystem.durable import DurableFolders, sync_folder
from ledgerlift_server.adapters.filesystem.failures import os_errors
from ledgerlift_server.adapters.filesystem.layout import Layout
from ledgerlift_server.adapters.filesystem.sealed_file import Facts, opened, read_range, sealed_file
from ledgerlift_server.adapters.filesystem.trash import Trash
from ledgerlift_server.domain.store_port import NoSuchObject, ObjectInfo, ObjectPage
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import StoredObjectCorrupt

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
"""What opening a name raises that is no object's."""


class FileObjects:
    """`BlockingObjects` on files."""

    def __init__(self, layout: Layout, folders: DurableFolders, trash: Trash) -> None:
        """The folders of `layout` are there."""
        self._layout = layout
        self._folders = folders
        self._trash = trash

    @os_errors()
    def put(self, name: str, body: memoryview, crc32c: int, token: str) -> None:
        """Write the bytes and their facts as one file."""
        facts = {"name": name, "token": token, "size": len(body)}
        with sealed_file(self._layout.new_temporary(), body, facts, crc32c=crc32c) as written:
            self._publish(written, name)

    def put_index(self, name: str, token: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the segments visible as one object, without touching them."""
        size = sum(part.size for part in parts)
        facts = {"name": name, "token": token, "size": size, "multipart": multipart_id, "runs": _runs(parts)}
        with sealed_file(self._layout.new_temporary(), memoryview(b""), facts) as written:
            self._publish(written, name)

    def is_made_of(self, name: str, multipart_id: str) -> bool:
        """True when the visible object `name` consists of the parts of this upload."""
        try:
            with self._opened(name) as (_, facts):
                return facts.get("multipart") == multipart_id
        except NoSuchObject:
            return False

    @os_errors()
    def stat(self, name: str) -> ObjectInfo:
        """From the facts; the segments are not looked at."""
        with self._opened(name) as (fd, facts):
            modified = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
            return ObjectInfo(name, facts["size"], facts["token"], modified)

    @os_errors()
    def read(self, name: str, offset: int, length: int) -> bytes:
        """From the file itself, or from as many segments as the range touches."""
        with self._opened(name) as (fd, facts):
            length = max(0, min(length, facts["size"] - offset))
            if "multipart" not in facts:
                return read_range(fd, offset, length)
        pieces = [
            self._read_segment(name, facts["multipart"], number, start, count)
            for number, start, count in _pieces(facts, offset, length)
        ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @os_errors()
    def delete(self, name: str) -> None:
        """Gone with the rename into the trash; then the bytes are removed."""
        path = self._layout.object(name)
        try:
            entry = self._trash.throw(path)
        except _ABSENT:
            self._layout.check()
            return
        sync_folder(path.parent)
        self._trash.discard(entry)

    @os_errors()
    def list_objects(self, after: str | None, limit: int) -> ObjectPage:
        """One page in the order of the names' bytes, as S3 has it."""
        found: list[tuple[str, datetime]] = []
        for name, path in _walk(self._layout.visible, "", after or ""):
            if len(found) == limit:
                return ObjectPage(tuple(found), found[-1][0] if found else after)
            with suppress(FileNotFoundError):  # deleted since it was listed
                found.append((name, datetime.fromtimestamp(path.stat().st_mtime, UTC)))
        return ObjectPage(tuple(found), None)

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, Facts]]:
        try:
            with opened(self._layout.object(name)) as file:
                yield file
        except _ABSENT:
            self._layout.check()
            raise NoSuchObject(name) from None

    def _read_segment(self, name: str, multipart_id: str, number: int, offset: int, length: int) -> bytes:
        try:
            with opened(self._layout.segment(multipart_id, number)) as (fd, _):
                data = read_range(fd, offset, length)
        except FileNotFoundError:
            if not self.is_made_of(name, multipart_id):
                raise NoSuchObject(name) from None  # deleted or replaced since it was opened
            data = b""
        if len(data) != length:
            raise StoredObjectCorrupt(f"segment {number} of the object {name} is damaged")
        return data

    def _publish(self, written: Path, name: str) -> None:
        path = self._layout.object(name)
        self._folders.make(path.parent)
        replaced = self._retire(path)
        os.replace(written, path)
        sync_folder(path.parent)
        if replaced is not None:
            self._trash.discard(replaced)

    def _retire(self, path: Path) -> Path | None:
        """Where an object with segments is about to be replaced, keep hold of it so that they can be removed."""
        with suppress(*_ABSENT, StoredObjectCorrupt), opened(path) as (_, facts):
            if "multipart" in facts:
                entry = self._layout.new_trash()
                os.link(path, entry)
                sync_folder(entry.parent)
                return entry
        return None


def _runs(parts: Sequence[StoredPart]) -> list[list[int]]:
    runs: list[list[int]] = []
    for part in parts:
        first, count, size = runs[-1] if runs else (0, 0, -1)
        if part.size == size and part.number == first + count:
            runs[-1][1] += 1
        else:
            runs.append([part.number, 1, part.size])
    return runs


def _pieces(facts: Facts, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
    """The segments that a range touches: number, offset in the segment, bytes."""
    begin, end = offset, offset + length
    run_begin = 0
    for first, count, size in facts["runs"]:
        run_end = run_begin + count * size
        while size and run_begin <= begin < min(end, run_end):
            index, start = divmod(begin - run_begin, size)
            taken = min(size - start, end - begin)
            yield first + index, start, taken
            begin += taken
        run_begin = run_end


def _walk(folder: Path, prefix: str, after: str) -> Iterator[tuple[str, Path]]:
    """Objects below `folder` whose names follow `after`. Names of folders sort with the slash they end in."""
    entries: list[tuple[str, Path]] = []
    with os.scandir(folder) as scan:
        for entry in scan:
            name = prefix + entry.name + ("/" if entry.is_dir() else "")
            if name > after or after.startswith(name):
                entries.append((name, Path(entry.path)))
    for name, path in sorted(entries):
        if name.endswith("/"):
            yield from _walk(path, name, after)
        elif name > after:
            yield name, path
