"""Digests as the domain sees them: a SHA-256 that can be put down and taken up again, and CRC-32C."""

from __future__ import annotations

from typing import Protocol


class Crc32c(Protocol):
    """CRC-32C (Castagnoli, unmasked), 0 to 2**32 - 1."""

    def __call__(self, view: memoryview, before: int = 0, /) -> int:
        """Of the bytes of `view` behind others whose CRC is `before`. Reads in place, without the GIL."""


class Hasher(Protocol):
    """A SHA-256 on its way through a document. One thread at a time uses it."""

    def update(self, view: memoryview) -> None:
        """Take the next bytes in. Computes without the GIL; `view` must stay unchanged meanwhile."""

    def hexdigest(self) -> str:
        """Lower-case hex digest of all bytes so far, 64 characters. More bytes may follow."""

    def state(self) -> bytes | None:
        """What `HasherFactory.restore` needs in order to go on from here, in any process and on any machine.

        None where it cannot be had: between blocks (the bytes so far are not a multiple of 64), or with
        a SHA-256 whose state is out of reach.
        """


class HasherFactory(Protocol):
    """Makes hashers."""

    def new(self) -> Hasher:
        """A hasher that has seen nothing."""

    def restore(self, state: bytes, length: int) -> Hasher | None:
        """A hasher that has seen exactly the first `length` bytes, of which `state` was saved.

        None when this process cannot restore a state, or when `state` is damaged, of an unknown version, or
        of another length: the digest is then computed by reading the bytes back.
        """
