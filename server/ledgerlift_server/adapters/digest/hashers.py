"""SHA-256 hashers: one whose state can be saved, and hashlib where there is none.

    state, version 1, 48 bytes, big-endian wherever it is made:
    "SHA" 0x01 | length in bytes (8) | h[0..7] (8 x 4) | CRC-32 of all before (4)

Saved only between blocks (multiples of 64 bytes), the state is what FIPS 180-4 calls the intermediate hash
value; so it means the same to every implementation of SHA-256.
"""

from __future__ import annotations

import hashlib
import logging
import random
import struct
import zlib
from collections.abc import Callable, Iterable

from ledgerlift_server.adapters.digest.libcrypto import Libcrypto, Sha256Context, candidates
from ledgerlift_server.domain.digest_port import Hasher, HasherFactory

logger = logging.getLogger(__name__)

BLOCK = 64
"""Bytes of a SHA-256 block."""
_BODY = struct.Struct(">4sQ8I")
_CHECK = struct.Struct(">I")
_VERSION_1 = b"SHA\x01"
_LONGEST = 2**61 - 1
"""Bytes that the 64-bit counter of bits can hold."""


class LibcryptoHasher:
    """A `Hasher` on libcrypto. One thread at a time."""

    def __init__(self, library: Libcrypto, context: Sha256Context) -> None:
        """`context` is this hasher's own."""
        self._library = library
        self._context = context

    def update(self, view: memoryview) -> None:
        """Take the next bytes in, without a copy and without the GIL."""
        self._library.update(self._context, view)

    def hexdigest(self) -> str:
        """Digest of all bytes so far."""
        return self._library.digest(self._context).hex()

    def state(self) -> bytes | None:
        """See the module's head; None between blocks."""
        context = self._context
        if context.num:
            return None
        length = (context.Nh << 32 | context.Nl) // 8
        body = _BODY.pack(_VERSION_1, length, *context.h)
        return body + _CHECK.pack(zlib.crc32(body))


class LibcryptoHashers:
    """A `HasherFactory` on libcrypto."""

    def __init__(self, library: Libcrypto) -> None:
        """Raises OSError when the library does not hash as it should."""
        self._library = library
        self._self_test()

    def new(self) -> LibcryptoHasher:
        """A hasher that has seen nothing."""
        return LibcryptoHasher(self._library, self._library.new())

    def restore(self, state: bytes, length: int) -> LibcryptoHasher | None:
        """A hasher that has seen `length` bytes; None when `state` is damaged or not theirs."""
        words = _intermediate_hash(state, length)
        if words is None:
            return None
        context = self._library.new()
        context.h[:] = words
        context.Nh, context.Nl = divmod(length * 8, 2**32)
        return LibcryptoHasher(self._library, context)

    def _self_test(self) -> None:
        """FIPS 180-4's example; then random inputs, cut and restored at random blocks, against hashlib."""
        chance = random.Random(180_4)  # noqa: S311 -- test inputs, not secrets
        inputs = [b"", b"abc", *(chance.randbytes(chance.randrange(1000)) for _ in range(32))]
        for data in inputs:
            cut = chance.randrange(len(data) // BLOCK + 1) * BLOCK
            first = self.new()
            first.update(memoryview(data)[:cut])
            state = first.state()
            second = self.restore(state, cut) if state is not None else None
            if second is None:
                raise OSError("libcrypto's SHA256_CTX is not the expected struct")
            second.update(memoryview(data)[cut:])
            expected = hashlib.sha256(data).hexdigest()
            if second.hexdigest() != expected or any(first._context.guard) or any(second._context.guard):
                raise OSError("libcrypto does not hash as hashlib does")


class _HashlibHasher:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, view: memoryview) -> None:
        self._hash.update(view)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def state(self) -> None:
        return None


class HashlibHashers:
    """A `HasherFactory` without states: an upload that is resumed is read back before it is published."""

    def new(self) -> Hasher:
        """A hasher that has seen nothing."""
        return _HashlibHasher()

    def restore(self, state: bytes, length: int) -> None:
        """Not possible here."""


def load_hashers(paths: Callable[[], Iterable[str]] = candidates) -> HasherFactory:
    """Hashers on the first library of `paths` that passes the test, or on hashlib, which the log then says."""
    problems = []
    for path in paths():
        try:
            return LibcryptoHashers(Libcrypto(path))
        except (OSError, RuntimeError) as error:
            problems.append(str(error))
    logger.warning("sha256_state_unavailable", extra={"problems": problems})
    return HashlibHashers()


def _intermediate_hash(state: bytes, length: int) -> tuple[int, ...] | None:
    """The eight words in `state`, or None when it is not the whole and undamaged state after `length` bytes."""
    if len(state) != _BODY.size + _CHECK.size or not 0 <= length <= _LONGEST or length % BLOCK:
        return None
    body = state[: _BODY.size]
    version, saved_length, *words = _BODY.unpack(body)
    if _CHECK.unpack(state[_BODY.size :]) != (zlib.crc32(body),):
        return None
    return tuple(words) if (version, saved_length) == (_VERSION_1, length) else None
