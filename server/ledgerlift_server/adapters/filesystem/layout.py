"""Where things lie below the root, and which names may be used for them.

    visible/<name>          an object: its bytes, or where they are (`objects.py`)
    multiparts/<id>         an unfinished multipart upload (`multiparts.py`)
    segments/<id>/<number>  its parts; after completion, the segments of the object
    temporary/              files that are being written; renamed when they are durable
    trash/                  what nobody can see any more and is still to be removed (`trash.py`)
    lock                    held, shared, by every store on this root

All of it has to be on one file system: everything becomes visible by rename.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path

_COMPONENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")
_ID = re.compile(r"[0-9a-f]{32}")


class Layout:
    """Paths."""

    def __init__(self, root: Path) -> None:
        """`root` need not exist yet."""
        self.visible = root / "visible"
        self.multiparts = root / "multiparts"
        self.segments = root / "segments"
        self.temporary = root / "temporary"
        self.trash = root / "trash"
        self.lock = root / "lock"

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that have to be there."""
        return (self.visible, self.multiparts, self.segments, self.temporary, self.trash)

    def check(self) -> None:
        """Raise OSError where all of it is gone, as when a disk was unmounted: then nothing is known to be absent."""
        self.visible.stat()

    def object(self, name: str) -> Path:
        """The file of the object `name`.

        Components hold letters, digits, `.`, `_`, `-`, and do not begin with a dot; so no name leads out
        of the root. Raises ValueError for any other: names are made by the domain, never by callers.
        """
        if not all(_COMPONENT.fullmatch(component) for component in name.split("/")):
            raise ValueError(f"not a name for an object: {name[:128]!r}")
        return self.visible / name

    def multipart(self, multipart_id: str) -> Path | None:
        """The description of a multipart upload; None for what no id of ours looks like."""
        return self.multiparts / multipart_id if _ID.fullmatch(multipart_id) else None

    def segment(self, multipart_id: str, number: int) -> Path:
        """The file of one part."""
        return self.segments / multipart_id / f"{number:05d}"

    def new_temporary(self) -> Path:
        """A name for a file to be written."""
        return self.temporary / uuid.uuid4().hex

    def new_trash(self) -> Path:
        """A name for something to be removed."""
        return self.trash / uuid.uuid4().hex
