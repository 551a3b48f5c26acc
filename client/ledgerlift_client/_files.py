"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class AtomicFile:
    """Writes beside `path` under a name of its own; `commit` puts it in place once it is on the disk."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises OSError when nothing can be written there."""
        self._path = Path(path)
        if self._path.is_dir():
            raise IsADirectoryError(f"{self._path} is a directory")
        self._temporary = self._path.with_name(f".{self._path.name[:200]}.{secrets.token_hex(6)}.part")
        # 0o666 and the umask, as for any file that the caller would open; tempfile would make it 0o600.
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes | memoryview) -> int:
        """As much of `data` as the system takes at once."""
        return self._file.write(data)

    def commit(self) -> None:
        """On the disk, then in place, then the folder's entry on the disk."""
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self._path)
        if os.name == "posix":
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def abandon(self) -> None:
        """Leave nothing behind. Does nothing after `commit`."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
