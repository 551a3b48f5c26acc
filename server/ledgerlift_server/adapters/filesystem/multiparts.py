"""Multipart uploads: parts become the segments of the object by being named in its index. No byte is written twice.

An upload is unfinished as long as its description is there and no visible object is made of its parts. The
description is also its lock: whoever puts a part in place, completes or aborts holds it, so that a part that
comes late can never get into an object that is visible already. A lock ends with its process.

A crash leaves either an unfinished upload as it was, or one whose object is visible while its description is
still there; whoever comes next finds that out and removes the description.
"""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from ledgerlift_server.adapters.filesystem.durable import sync_folder
from ledgerlift_server.adapters.filesystem.failures import os_errors
from ledgerlift_server.adapters.filesystem.layout import Layout
from ledgerlift_server.adapters.filesystem.objects import FileObjects
from ledgerlift_server.adapters.filesystem.sealed_file import Facts, opened, sealed_file
from ledgerlift_server.adapters.filesystem.trash import Trash
from ledgerlift_server.domain.store_port import InvalidPart, MultipartInfo, NoSuchMultipart
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import StoredObjectCorrupt

logger = logging.getLogger(__name__)

MAX_PART_NUMBER = 10_000


class FileMultiparts:
    """`BlockingMultiparts` on files."""

    def __init__(self, layout: Layout, objects: FileObjects, trash: Trash) -> None:
        """The folders of `layout` are there."""
        self._layout = layout
        self._objects = objects
        self._trash = trash

    @os_errors()
    def create_multipart(self, name: str, token: str) -> str:
        """The description first: what a crash leaves can then be listed and aborted."""
        self._layout.object(name)  # refuse a bad name now
        multipart_id = uuid.uuid4().hex
        facts = {"name": name, "token": token}
        with sealed_file(self._layout.new_temporary(), memoryview(b""), facts) as written:
            os.rename(written, self._layout.multiparts / multipart_id)
        sync_folder(self._layout.multiparts)
        os.mkdir(self._layout.segments / multipart_id, 0o700)
        sync_folder(self._layout.segments)
        return multipart_id

    @os_errors()
    def put_part(self, name: str, multipart_id: str, number: int, body: memoryview, crc32c: int) -> StoredPart:
        """Written and synced without the lock, so that parts go side by side; put in place under it."""
        if not 1 <= number <= MAX_PART_NUMBER:
            raise ValueError(f"part numbers are 1 to {MAX_PART_NUMBER}, not {number}")
        description = self._layout.multipart(multipart_id)
        if description is None or not description.exists():
            self._layout.check()
            raise NoSuchMultipart(multipart_id)
        segment = self._layout.segment(multipart_id, number)
        facts = {"size": len(body), "crc32c": crc32c}
        with sealed_file(self._layout.new_temporary(), body, facts, crc32c=crc32c) as written:
            with self._held(name, multipart_id), _gone_means_aborted(multipart_id):
                os.replace(written, segment)
            with _gone_means_aborted(multipart_id):
                sync_folder(segment.parent)
        return _stored(number, facts)

    @os_errors()
    def complete_multipart(self, name: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """Compare, then write the index: the object is visible with its rename, and the upload finished."""
        with self._held(name, multipart_id) as facts:
            self._compare(multipart_id, parts)
            sync_folder(self._layout.segments / multipart_id)  # a listed part may not be acknowledged yet
            self._objects.put_index(name, facts["token"], multipart_id, parts)
            self._forget(multipart_id)
        self._remove_unlisted(multipart_id, {part.number for part in parts})

    @os_errors()
    def abort_multipart(self, name: str, multipart_id: str) -> None:
        """The parts go before the description, so that what a crash leaves can be aborted again."""
        with self._held(name, multipart_id):
            entry: Path | None = None
            with suppress(FileNotFoundError):
                entry = self._trash.throw(self._layout.segments / multipart_id)
                sync_folder(self._layout.segments)
            self._forget(multipart_id)
            sync_folder(self._layout.multiparts)
        if entry is not None:
            self._trash.discard(entry)

    @os_errors()
    def list_parts(self, name: str, multipart_id: str) -> list[StoredPart]:
        """What is in place at this moment."""
        with self._held(name, multipart_id), _gone_means_aborted(multipart_id):
            numbers = sorted(int(path.name) for path in (self._layout.segments / multipart_id).iterdir())
            return [self._stored(multipart_id, number) for number in numbers]

    @os_errors()
    def list_multiparts(self, limit: int) -> list[MultipartInfo]:
        """Oldest first."""
        found: list[MultipartInfo] = []
        for path in self._layout.multiparts.iterdir():
            try:
                with opened(path) as (fd, facts):
                    begun = datetime.fromtimestamp(os.fstat(fd).st_mtime, UTC)
                    if self._objects.is_made_of(facts["name"], path.name):
                        self._forget(path.name)
                    else:
                        found.append(MultipartInfo(facts["name"], path.name, begun))
            except FileNotFoundError:
                continue  # ended since it was listed
            except StoredObjectCorrupt:  # one damaged file must not hide all the others
                logger.error("stored_file_damaged", extra={"file": str(path)})
        return sorted(found, key=lambda info: info.initiated)[:limit]

    @contextmanager
    def _held(self, name: str, multipart_id: str) -> Iterator[Facts]:
        """The facts of an unfinished upload, which stays one until the block ends. Raises NoSuchMultipart."""
        with ExitStack() as stack:
            fd, facts = self._open_description(stack, multipart_id)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink == 0 or facts["name"] != name:
                raise NoSuchMultipart(multipart_id)
            if self._objects.is_made_of(name, multipart_id):
                self._forget(multipart_id)
                raise NoSuchMultipart(multipart_id)
            yield facts

    def _open_description(self, stack: ExitStack, multipart_id: str) -> tuple[int, Facts]:
        path = self._layout.multipart(multipart_id)
        try:
            if path is not None:
                return stack.enter_context(opened(path))
        except FileNotFoundError:
            self._layout.check()
        raise NoSuchMultipart(multipart_id)

    def _compare(self, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        numbers = [part.number for part in parts]
        if not numbers or numbers != sorted(set(numbers)):
            raise InvalidPart("parts are listed once each, in the order of their numbers, and at least one")
        for part in parts:
            try:
                stored = self._stored(multipart_id, part.number)
            except FileNotFoundError:
                raise InvalidPart(f"part {part.number} is not stored") from None
            if (stored.etag, stored.size) != (part.etag, part.size):
                raise InvalidPart(f"part {part.number} is not the listed one")

    def _stored(self, multipart_id: str, number: int) -> StoredPart:
        with opened(self._layout.segment(multipart_id, number)) as (_, facts):
            return _stored(number, facts)

    def _remove_unlisted(self, multipart_id: str, listed: set[int]) -> None:
        with suppress(FileNotFoundError):
            for path in (self._layout.segments / multipart_id).iterdir():
                if int(path.name) not in listed:
                    os.unlink(path)

    def _forget(self, multipart_id: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._layout.multiparts / multipart_id)


@contextmanager
def _gone_means_aborted(multipart_id: str) -> Iterator[None]:
    """An abort takes the folder of the parts away."""
    try:
        yield
    except FileNotFoundError:
        raise NoSuchMultipart(multipart_id) from None


def _stored(number: int, facts: Facts) -> StoredPart:
    crc32c = facts["crc32c"]
    return StoredPart(number, facts["size"], f"{crc32c:08x}-{facts['size']}", crc32c)
