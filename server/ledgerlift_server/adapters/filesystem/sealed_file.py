"""The form of every file here: the body, and behind it facts about it.

    body | facts (JSON) | length of the facts (4) | their CRC-32C (4) | "LLFILE01"

Facts travel in the same file, so that body and facts become visible in one rename; behind the body, so
that the body lies at offset 0. A file that does not end like this was not written by us, or is damaged.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crc32c import crc32c as crc32c_of

from ledgerlift_server.adapters.filesystem.durable import sync_file
from ledgerlift_server.adapters.filesystem.straight import Writer
from ledgerlift_server.domain.store_port import IntegrityRefused
from ledgerlift_server.errors import DeadlineExceeded, StoredObjectCorrupt
from ledgerlift_server.resilience.deadline import current_deadline

Facts = Mapping[str, Any]

_END = struct.Struct("<II8s")
_MAGIC = b"LLFILE01"
_STEP = 1024 * 1024
"""Bytes that are summed and written at a time: between, the deadline is looked at."""
_USUAL_FACTS = 1024
"""Bytes read at the file's end in one go; more only where the facts are longer."""


@contextmanager
def sealed_file(path: Path, body: memoryview, facts: Facts, *, crc32c: int | None = None) -> Iterator[Path]:
    """A new, durable file at `path`, to be renamed within the block; removed at its end where it was not.

    Raises IntegrityRefused when the bytes that were written do not have `crc32c`, DeadlineExceeded when the
    deadline passed while they were.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            writer = Writer(fd, len(body))
            computed = _write_body(writer, body)
            if crc32c is not None and computed != crc32c:
                raise IntegrityRefused(f"{len(body)} bytes with CRC-32C {computed:#010x}, said was {crc32c:#010x}")
            text = json.dumps(facts, separators=(",", ":")).encode()
            writer.write(memoryview(text + _END.pack(len(text), crc32c_of(text), _MAGIC)))
            sync_file(fd)
        finally:
            os.close(fd)
        yield path
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, Facts]]:
    """A descriptor of the file and its facts. Raises FileNotFoundError, StoredObjectCorrupt."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd, _facts_of(fd, path.name)
    finally:
        os.close(fd)


def read_range(fd: int, offset: int, length: int) -> bytes:
    """`length` bytes from `offset`, fewer only at the file's end. Releases the GIL."""
    first = os.pread(fd, length, offset)
    if len(first) == length:
        return first
    pieces = [first]
    while pieces[-1] and (left := length - sum(map(len, pieces))):
        pieces.append(os.pread(fd, left, offset + length - left))
    return b"".join(pieces)


def _facts_of(fd: int, name: str) -> Facts:
    size = os.fstat(fd).st_size
    tail = read_range(fd, max(0, size - _USUAL_FACTS), _USUAL_FACTS)
    if len(tail) >= _END.size:
        length, crc, magic = _END.unpack(tail[-_END.size :])
        if magic == _MAGIC and length + _END.size <= size:
            if length + _END.size > len(tail):
                tail = read_range(fd, size - length - _END.size, length + _END.size)
            text = tail[-_END.size - length : -_END.size]
            if crc32c_of(text) == crc:
                facts: dict[str, Any] = json.loads(text)
                return facts
    raise StoredObjectCorrupt(f"the file {name} of the object store is damaged")


def _write_body(writer: Writer, body: memoryview) -> int:
    crc = 0
    for start in range(0, len(body), _STEP):
        deadline = current_deadline()
        if deadline is not None and not deadline.remaining():
            raise DeadlineExceeded("the deadline passed while bytes were written")
        step = body[start : start + _STEP]
        crc = crc32c_of(step, crc)
        writer.write(step)
    return crc
