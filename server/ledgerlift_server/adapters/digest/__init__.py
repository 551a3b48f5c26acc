"""Digests on the machine's own instructions: a SHA-256 that survives a resume, and CRC-32C.

`load_hashers()` gives the `HasherFactory`, `crc32c` is the `Crc32c` of `domain/digest_port.py`.
"""

from ledgerlift_server.adapters.digest.crc import crc32c
from ledgerlift_server.adapters.digest.hashers import HashlibHashers, LibcryptoHashers, load_hashers

__all__ = ["crc32c", "load_hashers", "HashlibHashers", "LibcryptoHashers"]
