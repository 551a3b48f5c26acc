"""The bytes that are sent: made once, held in memory, and different in every upload.

They lie in a file of a memory file system, mapped: whoever wants memory reads the mapping, whoever wants a
path (`boto3.upload_file`) opens the file, and no disk is read in either case.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

MIB = 1024 * 1024
MESSAGE_SIZE = 1 * MIB
"""Bytes in one message of every contestant that sends messages."""


class Payload:
    """`size` bytes that do not compress. A context manager: the file is removed at the end."""

    def __init__(self, size: int, *, seed: int = 1) -> None:
        """The same `seed` makes the same bytes, but for the stamp."""
        self.size = size
        self.sha256 = ""
        self._stamps = 0
        memory = Path("/dev/shm")  # noqa: S108 - a file of our own, made by mkstemp
        handle, name = tempfile.mkstemp(prefix="ledgerlift-bench-", dir=memory if memory.is_dir() else None)
        self.path = Path(name)
        with os.fdopen(handle, "w+b") as file:
            # One random block, over and over, each with its own number: quick to make, and no two parts are alike.
            block = random.Random(seed).randbytes(min(size, 8 * MIB))  # noqa: S311 - not a secret
            for number in range(0, size, len(block)):
                file.write((number.to_bytes(16, "little") + block[16:])[: size - number])
            file.flush()
            self._map = mmap.mmap(file.fileno(), size)
        self.stamp()

    def stamp(self) -> None:
        """Change the first bytes, so that no server has seen this document, and compute its digest."""
        self._stamps += 1
        mark = os.urandom(8) + self._stamps.to_bytes(8, "little")
        self._map[: min(16, self.size)] = mark[: self.size]
        self.sha256 = hashlib.sha256(self._map).hexdigest()

    def view(self) -> memoryview:
        """All bytes, without a copy."""
        return memoryview(self._map)

    def messages(self) -> Iterator[bytes]:
        """The bytes in pieces of `MESSAGE_SIZE`."""
        for offset in range(0, self.size, MESSAGE_SIZE):
            yield self._map[offset : offset + MESSAGE_SIZE]

    def __enter__(self) -> Payload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.path.unlink(missing_ok=True)
