"""`ObjectStore` on a folder: the asynchronous face of `FileObjects` and `FileMultiparts`."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import finalize

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.filesystem.durable import DurableFolders
from ledgerlift_server.adapters.filesystem.layout import Layout
from ledgerlift_server.adapters.filesystem.multiparts import FileMultiparts
from ledgerlift_server.adapters.filesystem.objects import FileObjects
from ledgerlift_server.adapters.filesystem.trash import Trash
from ledgerlift_server.domain.store_port import MultipartInfo, ObjectInfo, ObjectPage
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import DependencyUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class FilesystemStore:
    """Objects as files below one folder. Several stores, of several processes, may share it."""

    backend = "filesystem"

    def __init__(self, root: Path, dependency: Dependency) -> None:
        """Makes what is missing below `root`. Raises OSError when that cannot be done."""
        layout, folders = Layout(root.absolute()), DurableFolders(root)
        for folder in layout.folders:
            folders.make(folder)
        self._trash = Trash(layout)
        self._objects = FileObjects(layout, folders, self._trash)
        self._multiparts = FileMultiparts(layout, self._objects, self._trash)
        self._dependency = dependency
        self._lock = finalize(self, os.close, _share(layout, self._trash))

    async def start(self) -> None:
        """Remove what a crash left behind. To be called once; the store may be used meanwhile."""
        await self._call(self._trash.empty)

    def close(self) -> None:
        """Let go of the folder."""
        self._lock()

    async def put(self, name: str, body: memoryview, *, crc32c: int, token: str) -> None:
        """See `ObjectStore`."""
        await self._call(self._objects.put, name, body, crc32c, token, lent=True)

    async def create_multipart(self, name: str, *, token: str) -> str:
        """See `ObjectStore`."""
        return await self._call(self._multiparts.create, name, token)

    async def put_part(
        self, name: str, multipart_id: str, number: int, body: memoryview, *, crc32c: int
    ) -> StoredPart:
        """See `ObjectStore`."""
        return await self._call(self._multiparts.put_part, name, multipart_id, number, body, crc32c, lent=True)

    async def complete_multipart(self, name: str, multipart_id: str, parts: Sequence[StoredPart]) -> None:
        """See `ObjectStore`."""
        await self._call(self._multiparts.complete, name, multipart_id, parts)

    async def abort_multipart(self, name: str, multipart_id: str) -> None:
        """See `ObjectStore`."""
        await self._call(self._multiparts.abort, name, multipart_id)

    async def list_parts(self, name: str, multipart_id: str) -> Sequence[StoredPart]:
        """See `ObjectStore`."""
        return await self._call(self._multiparts.list_parts, name, multipart_id)

    async def stat(self, name: str) -> ObjectInfo:
        """See `ObjectStore`."""
        return await self._call(self._objects.stat, name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """See `ObjectStore`."""
        return await self._call(self._objects.read, name, offset, length)

    async def delete(self, name: str) -> None:
        """See `ObjectStore`."""
        await self._call(self._objects.delete, name)

    async def list_multiparts(self, *, limit: int) -> Sequence[MultipartInfo]:
        """See `ObjectStore`."""
        return await self._call(self._multiparts.list, limit)

    async def list_objects(self, *, after: str | None, limit: int) -> ObjectPage:
        """See `ObjectStore`."""
        return await self._call(self._objects.list, after, limit)

    async def _call(self, fn: Callable[..., T], *args: object, lent: bool = False) -> T:
        return await self._dependency.call(_translated(fn), *args, lent=lent)


def _translated(fn: Callable[P, T]) -> Callable[P, T]:
    """`fn`, whose operating system errors become DependencyUnavailable: the disk is full, read-only, or failing."""

    @wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with _os_errors():
            return fn(*args, **kwargs)

    return call


@contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "an unknown error")
        raise DependencyUnavailable(f"the file store failed with {name}", retry_after=5.0) from error


def _share(layout: Layout, trash: Trash) -> int:
    """Hold the root together with other stores. The first one there throws away what was half written.

    Returns the descriptor that holds it; the lock ends when it is closed, at the latest with the process.
    """
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        trash.throw(layout.temporary)
        layout.temporary.mkdir(mode=0o700)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return fd
