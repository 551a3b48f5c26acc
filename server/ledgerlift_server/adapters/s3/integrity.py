"""How the store is made to check the bytes that it receives."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any, Literal

UNKNOWN_CRC32C = -1
"""CRC-32C of a listed part where the store does not tell it. Equal to that of no part in the ledger."""

Means = Literal["crc32c", "md5"]


@dataclass(slots=True)
class Integrity:
    """What goes with every body. The probe decides it once, at start, by what the store honours."""

    means: Means = "crc32c"

    def of_body(self, body: memoryview, crc32c: int) -> dict[str, Any]:
        """For a request with a body."""
        if self.means == "md5":
            return {"ContentMD5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()}
        return {"ChecksumCRC32C": encode(crc32c)}

    def of_multipart(self) -> dict[str, Any]:
        """For the beginning of a multipart upload: without it stores neither keep nor list the parts' checksums."""
        return {"ChecksumAlgorithm": "CRC32C"} if self.means == "crc32c" else {}

    def of_listed_part(self, crc32c: int) -> dict[str, Any]:
        """For a part in the list that completes a multipart upload; S3 wants it where it keeps one."""
        return {"ChecksumCRC32C": encode(crc32c)} if self.means == "crc32c" else {}


def encode(crc32c: int) -> str:
    """As S3 writes it: base64 of four bytes, the highest first."""
    return b64encode(crc32c.to_bytes(4, "big")).decode()


def decode(text: str | None) -> int:
    """The number; UNKNOWN_CRC32C where there is none."""
    return UNKNOWN_CRC32C if not text else int.from_bytes(b64decode(text), "big")
