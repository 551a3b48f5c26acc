"""Writes that go past the page cache: the same bytes on the disk, whatever the disk takes and wherever they lie."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.adapters.filesystem.straight import LEAST, Writer
from ledgerlift_server.domain.part_buffers import PAGES, BufferBudget

from tests.support.object_stores import MIB, content
from tests.support.os_calls import watched

SIZE = 3 * MIB
BLOCK = 4096
"""Bytes of a disk's block, or several."""


def of_pages(data: bytes) -> memoryview:
    """The same bytes, from a page's boundary on."""
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memoryview(memory)


def written(path: Path, *pieces: memoryview) -> bytes:
    """What a file holds that was written in `pieces`."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        writer = Writer(fd, sum(map(len, pieces)))
        for piece in pieces:
            writer.write(piece)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return path.read_bytes()


def takes_straight_writes(folder: Path) -> bool:
    """What the file system says; tmpfs and NFS say no."""
    try:
        os.close(os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("size", [0, 1, LEAST - 1, LEAST, LEAST + 1, LEAST + BLOCK, SIZE, SIZE + 511])
@pytest.mark.parametrize("begin", [0, 1, 512], ids=["at a page", "a byte behind it", "half a block behind it"])
def test_every_byte_is_there(size: int, begin: int, tmp_path: Path) -> None:
    """Of whole blocks and others, from memory on a boundary and beside it, and a short end behind them."""
    data, end = content(size + begin), b"an end of few bytes"
    view = of_pages(data)[begin:] if data else memoryview(b"")
    assert written(tmp_path / "file", view, memoryview(end)) == data[begin:] + end


def test_a_write_that_takes_less_than_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that stops in the middle of a block, where no straight write can go on: the rest is written as usual."""
    write, data = os.write, content(SIZE)
    counts = iter([MIB + 100, 7])
    # One that is cut by a signal or a full disk; the kernel does the same in the file.
    monkeypatch.setattr(os, "write", lambda fd, piece: short(write, fd, piece, next(counts, None)))
    assert written(tmp_path / "file", of_pages(data), memoryview(b"end")) == data + b"end"


def short(write: Any, fd: int, piece: memoryview, count: int | None) -> int:
    """Write `count` bytes only, as such a disk would have."""
    if count is None:
        return int(write(fd, piece))
    begin = os.lseek(fd, 0, os.SEEK_CUR)
    other = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    try:
        done = os.pwrite(other, piece[:count], begin)
    finally:
        os.close(other)
    os.lseek(fd, done, os.SEEK_CUR)
    return done


def test_a_file_system_that_takes_no_straight_writes(tmp_path: Path) -> None:
    """It says so when it is asked or not before a write; either way the file is whole."""

    def refuse_first(name: str, args: tuple[Any, ...], _: Any) -> None:
        if name == "write" and not refused:
            refused.append(len(args[1]))
            raise OSError(errno.EINVAL, "as told")

    refused: list[int] = []
    data = content(SIZE)
    if takes_straight_writes(tmp_path):
        with watched(before=refuse_first):
            assert written(tmp_path / "file", of_pages(data)) == data
        assert refused == [SIZE]
    else:
        assert written(tmp_path / "file", of_pages(data)) == data


@pytest.mark.parametrize("size", [BLOCK, SIZE])
def test_other_failures_are_told(size: int, tmp_path: Path) -> None:
    """A full disk is no reason to try in another way; nor is what an ordinary write is refused for."""

    calls: list[str] = []

    def fail(name: str, *_: Any) -> None:
        calls.append(name)
        if name == "write":
            raise OSError(errno.ENOSPC if size == SIZE else errno.EINVAL, "as told")

    with watched(before=fail), pytest.raises(OSError, match="as told"):
        written(tmp_path / "file", of_pages(content(size)))
    assert calls == ["open", "write"]


async def test_a_part_leaves_the_page_cache_to_others(tmp_path: Path) -> None:
    """From a part buffer its bytes go to the disk alone; a small file stays in memory, where it is read again."""
    if not takes_straight_writes(tmp_path):
        pytest.skip("the file system of the temporary folder takes no straight writes")
    buffer = await BufferBudget(SIZE, wait=1).take(SIZE)
    assert SIZE >= PAGES
    buffer.append(memoryview(content(SIZE)))
    for name, view, cached in (("part", buffer.view(), False), ("small", of_pages(content(BLOCK)), True)):
        fd = os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT)
        try:
            Writer(fd, len(view)).write(view)
        finally:
            os.close(fd)
        assert in_page_cache(tmp_path / name) is cached


def in_page_cache(path: Path) -> bool:
    """True when the file's first block can be read without waiting for the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(fd, [bytearray(BLOCK)], 0, os.RWF_NOWAIT) == BLOCK
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
