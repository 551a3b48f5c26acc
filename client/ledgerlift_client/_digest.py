"""The SHA-256 of a source that is read once in order, with parts of it read again after a break."""

from __future__ import annotations

import hashlib


class RunningDigest:
    """Hashes every byte of a document exactly once, however often it passes by.

    `known` is the digest that the caller gave: then nothing is computed, and the server compares.
    """

    def __init__(self, known: str | None = None) -> None:
        """`known` in lower-case hex."""
        self._known = known
        self._hash = None if known else hashlib.sha256()
        self._position = 0

    def needs(self, offset: int) -> int | None:
        """Where reading has to begin so that bytes from `offset` on can follow; None when they can."""
        return None if self._hash is None or self._position >= offset else self._position

    def feed(self, offset: int, data: bytes | memoryview) -> None:
        """Bytes at `offset`, which must not lie beyond what has been hashed."""
        if self._hash is None:
            return
        if offset > self._position:
            raise ValueError(f"bytes {self._position} to {offset} have not been hashed")
        fresh = memoryview(data)[self._position - offset :]
        self._hash.update(fresh)
        self._position += len(fresh)

    def hexdigest(self) -> str:
        """The digest of what has been fed, or the one that was given."""
        return self._known or (self._hash.hexdigest() if self._hash is not None else "")
