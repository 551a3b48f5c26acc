"""Many large documents out of one block of random bytes: each a stretch of it that begins elsewhere."""

from __future__ import annotations

import hashlib
import random

STRIDE = 4099
"""Bytes between the beginnings of two documents: no two have a part in common, whatever the part size."""


class Pool:
    """`count` documents of `size` bytes; document `number` is `pool[number]`, a view."""

    def __init__(self, count: int, size: int) -> None:
        self._size = size
        self._bytes = memoryview(random.Random(size).randbytes(size + count * STRIDE))  # noqa: S311 - not secret

    def __getitem__(self, number: int) -> memoryview:
        start = number * STRIDE
        return self._bytes[start : start + self._size]

    def sha256(self, number: int) -> str:
        """Of the document."""
        return hashlib.sha256(self[number]).hexdigest()
