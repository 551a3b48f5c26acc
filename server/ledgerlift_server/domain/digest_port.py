"""Digests as the domain sees them: a SHA-256 that can be put down and taken up again, and CRC-32C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Crc32c = Callable[[memoryview], int]
"""CRC-32C (Castagnoli, unmasked) of the bytes, 0 to 2**32 - 1. Reads the bytes in place, without the GIL."""


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
