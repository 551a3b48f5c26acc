"""What the disk itself takes: the payload written to one file from memory, and fsynced.

Not a peer but a bound: nobody who promises durability can be faster than this.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil

from benchmarks.upload.payload import MIB, Payload

PIECE = 8 * MIB


class Disk:
    """Writes to a file in `place`."""

    name = "write + fsync"
    durability = "fsync of file and folder"
    server: psutil.Process | None = None

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._file = place / "document"

    async def send(self, payload: Payload) -> None:
        """On a thread, as servers do."""
        await asyncio.to_thread(self._write, payload.view())

    async def tidy(self) -> None:
        """Remove the file."""
        self._file.unlink()

    def _write(self, data: memoryview) -> None:
        with self._file.open("wb", buffering=0) as file:
            for offset in range(0, len(data), PIECE):
                file.write(data[offset : offset + PIECE])
            os.fsync(file.fileno())
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def warm(place: Path, size: int) -> None:
    """Write and remove `size` bytes in `place`.

    On virtual disks a block's first write costs several times its second (350 and 1,300 MB/s measured on
    one), and whoever came first would pay for all.
    """
    file = place / "warm-up"
    block = os.urandom(PIECE)
    with file.open("wb", buffering=0) as out:
        for _ in range(0, size, PIECE):
            out.write(block)
        os.fsync(out.fileno())
    file.unlink()
    os.sync()
