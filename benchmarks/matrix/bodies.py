"""Documents that no server has seen before, of which only the first bytes differ: quick to make."""

from __future__ import annotations

import io
import os
import random

KIB = 1024
MIB = 1024 * KIB
SMALL = MIB
"""Up to here a document is made in one piece."""
STAMP = 16

_BLOCK = random.Random(1).randbytes(8 * MIB)  # noqa: S311 - not a secret


class Body(io.RawIOBase):
    """`size` bytes as a file: a stamp of its own, then one block over and over, each with its number."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._stamp = os.urandom(STAMP)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, most: int = -1) -> bytes:
        """At most to the end of a block, whose first bytes are the stamp and its number."""
        number, begin = divmod(self._at, len(_BLOCK))
        left = min(self.size - self._at, len(_BLOCK) - begin)
        count = left if most < 0 else min(most, left)
        piece = _BLOCK[begin : begin + count]
        if begin < STAMP:
            mark = self._stamp[:8] + number.to_bytes(8, "little")
            piece = mark[begin : begin + count] + piece[STAMP - begin :]
        self._at += count
        return piece

    def readall(self) -> bytes:
        return b"".join(iter(self.read, b""))


def small(size: int) -> bytes:
    """A document in one piece."""
    return Body(size).readall()
