"""A file that is there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AtomicFile:
    """Writes beside `path` under a name of its own; `commit` puts it in place once it is on the disk.

    Each method but `abandon` raises OSError with `path` for its file name: the other one is nobody's business.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        if self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self._path))
        self._temporary = self._path.with_name(f".{self._path.name[:200]}.{secrets.token_hex(6)}.part")
        with self._named():
            # 0o666 and the umask, as for any file that the caller would open; tempfile would make it 0o600.
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes | memoryview) -> int:
        """As much of `data` as the system takes at once."""
        with self._named():
            return self._file.write(data)

    def commit(self) -> None:
        """On the disk, then in place, then the folder's entry on the disk."""
        with self._named():
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

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # OSError itself picks the class that belongs to the number.
            raise OSError(error.errno, error.strerror, str(self._path)) from error
