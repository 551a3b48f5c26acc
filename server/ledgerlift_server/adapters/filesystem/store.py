"""`ObjectStore` on a folder, and its life in a process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from weakref import finalize

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.filesystem.durable import DurableFolders
from ledgerlift_server.adapters.filesystem.failures import os_errors
from ledgerlift_server.adapters.filesystem.layout import Layout
from ledgerlift_server.adapters.filesystem.multiparts import FileMultiparts
from ledgerlift_server.adapters.filesystem.objects import FileObjects
from ledgerlift_server.adapters.filesystem.sealed_file import sealed_file
from ledgerlift_server.adapters.filesystem.trash import Trash
from ledgerlift_server.adapters.store_on_threads import StoreOnThreads


class FilesystemStore(StoreOnThreads):
    """Objects as files below one folder. Several stores, of several processes, may share it."""

    def __init__(self, root: Path, dependency: Dependency) -> None:
        """Makes what is missing below `root`. Raises OSError when that cannot be done."""
        self._layout, folders = Layout(root.absolute()), DurableFolders(root)
        for folder in self._layout.folders:
            folders.make(folder)
        self._trash = Trash(self._layout)
        objects = FileObjects(self._layout, folders, self._trash)
        super().__init__("filesystem", objects, FileMultiparts(self._layout, objects, self._trash), dependency)
        self._let_go = finalize(self, os.close, _share(self._layout, self._trash))

    async def start(self) -> None:
        """Remove what a crash left behind. To be called once; the store may be used meanwhile."""
        await self.dependency.check("trash.empty", self._trash.empty)

    async def ping(self) -> None:
        """Write the least there is: a disk that is full or read-only still reads. Raises as the port's methods do."""
        await self.dependency.call("ping", self._write_nothing)

    def close(self) -> None:
        """Let go of the folder."""
        self._let_go()

    @os_errors()
    def _write_nothing(self) -> None:
        self._layout.check()
        with sealed_file(self._layout.new_temporary(), memoryview(b""), {}):
            pass


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
