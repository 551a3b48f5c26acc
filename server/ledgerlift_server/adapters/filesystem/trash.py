"""What nobody can see any more and is still to be removed.

Things go into the trash by one rename, which is the moment they are gone; removing their bytes may take
longer, and a crash in the middle of it leaves work for the next `empty`. Everything here is idempotent,
and any number of processes may do it at once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ledgerlift_server.adapters.filesystem.durable import sync_folder
from ledgerlift_server.adapters.filesystem.failures import os_errors
from ledgerlift_server.adapters.filesystem.layout import Layout
from ledgerlift_server.adapters.filesystem.sealed_file import opened
from ledgerlift_server.errors import StoredObjectCorrupt


class Trash:
    """Entries are folders of files, single files, or visible objects of old with their segments elsewhere."""

    def __init__(self, layout: Layout) -> None:
        """Its folders are there."""
        self._layout = layout

    def throw(self, path: Path) -> Path:
        """Move `path` in here and return the entry. Raises FileNotFoundError."""
        entry = self._layout.new_trash()
        os.rename(path, entry)
        return entry

    @os_errors()
    def empty(self) -> int:
        """Remove every entry; how many there were."""
        entries = list(self._layout.trash.iterdir())
        for entry in entries:
            self.discard(entry)
        return len(entries)

    def discard(self, entry: Path) -> None:
        """Remove one entry with all that belongs to it."""
        with suppress(FileNotFoundError):
            if entry.is_dir():
                _remove_folder(entry)
            else:
                self._remove_segments(entry)
                os.unlink(entry)

    def _remove_segments(self, entry: Path) -> None:
        try:
            with opened(entry) as (_, facts):
                multipart_id = facts.get("multipart")
        except StoredObjectCorrupt:
            return  # torn while it was written: it never had any
        if multipart_id is None:
            return
        with suppress(FileNotFoundError):
            # An older object is linked in here before a newer one takes its place: a crash came in between.
            if os.path.samefile(self._layout.object(facts["name"]), entry):
                return
        with suppress(FileNotFoundError):
            folder = self.throw(self._layout.segments / multipart_id)
            sync_folder(self._layout.segments)  # before the entry goes, which is all that still knows of them
            _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            os.unlink(path)
    os.rmdir(folder)
