"""What it takes for a change to survive the loss of power: the file's data first, then its folder's entry.

After a failed fsync the kernel may drop the dirty pages and call the next one a success (LWN 752063), so
nothing here is tried again on the same file: the caller gives the file up and writes a new one.
"""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path


def sync_file(fd: int) -> None:
    """Return when the file's data and size are on the disk. Releases the GIL."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # fsync leaves them in the drive's cache there
    else:
        os.fdatasync(fd)


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder` are on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class DurableFolders:
    """Folders that are known to survive: each was looked at once, and the folder above it synced."""

    def __init__(self, root: Path) -> None:
        """What is there of `root` and above it is taken to survive: an operator made it."""
        root = root.absolute()
        self._known = {next(folder for folder in (root, *root.parents) if folder.is_dir())}

    def make(self, folder: Path) -> None:
        """Make `folder`, at or below the root, and what is missing above it. One that is known costs nothing.

        One that is there may have been made by another thread a moment ago, so finding it is not enough.
        """
        if folder in self._known:
            return
        self.make(folder.parent)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        sync_folder(folder.parent)
        self._known.add(folder)
