"""What can be uploaded, how often it can be read, and what is noticed when it changes."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from ledgerlift_client._sources import BytesSource, FileSource, Source, StreamSource, open_source
from ledgerlift_client.errors import SourceChanged, SourceNotRewindable


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives `step` bytes at a time."""

    def __init__(self, data: bytes, step: int = 7) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """A few bytes."""
        return self._data.read(min(size, self._step))


def opened(source: Any, replay: int = 40, peek: int = 20) -> Source:
    """`open_source` with small bounds."""
    return open_source(source, replay=replay, peek=peek)


def everything(source: Source, most: int = 9) -> bytes:
    """Read to the end."""
    found = b""
    while piece := source.read(most):
        found += piece
    return found


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_every_kind_can_be_read_again(kind: Any) -> None:
    """In order, and from anywhere."""
    source = opened(kind(b"0123456789"))
    assert (source.size, source.name, everything(source)) == (10, None, b"0123456789")
    source.seek(4)
    assert everything(source) == b"456789"
    source.close()


def test_a_path_has_a_name_and_is_closed(tmp_path: Path) -> None:
    """The file's own name is the document's, and the file is not left open."""
    path = tmp_path / "a.pdf"
    path.write_bytes(b"0123456789")
    source = opened(str(path))
    assert isinstance(source, FileSource)
    assert (source.name, source.size, everything(source)) == ("a.pdf", 10, b"0123456789")
    source.check()
    source.close()
    assert source._file.closed


def test_a_file_object_is_read_from_where_it_stands_and_left_open() -> None:
    """What the caller has read already is not part of the document."""
    file = io.BytesIO(b"0123456789")
    file.seek(3)
    source = opened(file)
    assert (source.size, everything(source)) == (7, b"3456789")
    source.seek(2)
    assert everything(source) == b"56789"
    source.close()
    assert not file.closed


@pytest.mark.parametrize("change", [b"0123456789x", b"01234", b"abcdefghij"])
def test_a_file_that_is_written_to_is_noticed(tmp_path: Path, change: bytes) -> None:
    """Longer, shorter, or rewritten with as many bytes."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(0, 0))
    source = opened(path)
    source.read(3)
    path.write_bytes(change)
    with pytest.raises(SourceChanged):
        source.check()
    source.close()


def test_a_growing_file_is_not_read_beyond_its_first_size(tmp_path: Path) -> None:
    """A log that is still written gives what it had at first, and then fails the check."""
    path = tmp_path / "a.log"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        source = opened(file)
        with path.open("ab") as more:
            more.write(b"more")
        assert everything(source) == b"0123456789"
        with pytest.raises(SourceChanged, match="10 bytes"):
            source.check()


def test_a_short_stream_is_known_by_its_size() -> None:
    """What ends within the first look is as good as bytes."""
    source = opened(Pipe(b"0123456789"))
    assert (source.size, source.replay, everything(source)) == (10, None, b"0123456789")
    source.seek(0)
    assert everything(source) == b"0123456789"


def test_a_long_stream_can_be_read_again_from_what_is_settled() -> None:
    """Everything that is not durable is kept, and what is durable is let go."""
    data = bytes(range(100))
    source = opened(Pipe(data))
    assert (source.size, source.replay) == (None, 40)
    assert b"".join(source.read(10) for _ in range(5)) != b""
    source.settle(20)
    source.seek(20)
    assert everything(source) == data[20:]
    with pytest.raises(SourceNotRewindable, match="from 20"):
        source.seek(19)


def test_a_stream_keeps_no_more_than_what_is_unsettled() -> None:
    """The memory bound: read minus durable."""
    source = opened(Pipe(bytes(1000)), peek=1)
    assert isinstance(source, StreamSource)
    for position in range(0, 1000, 50):
        source.seek(position)
        while source._cursor < position + 50:
            source.read(position + 50 - source._cursor)
        assert len(source._kept) <= 50
        source.settle(position + 50)
    assert source.read(1) == b""


def test_a_stream_says_what_has_to_be_read_before_it_can_go_forward() -> None:
    """A resumed pipe is read up to what an earlier process has sent; it does not jump over bytes unseen."""
    source = opened(Pipe(bytes(range(100)), step=20))
    assert (source.unread(20), source.unread(60)) == (None, 20)
    with pytest.raises(ValueError, match="have not been read"):
        source.seek(60)
    source.seek(20)
    while (position := source.unread(60)) is not None:
        source.settle(position)
        source.read(60 - position)
    source.seek(60)
    assert everything(source) == bytes(range(60, 100))
    assert opened(b"0123456789").unread(5) is None


def test_a_named_pipe_is_a_stream(tmp_path: Path) -> None:
    """A path that is no regular file has no size and cannot seek."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"x" * 100))
    writer.start()
    source = opened(path)
    assert isinstance(source, StreamSource)
    assert everything(source) == b"x" * 100
    source.close()
    writer.join()


def test_short_reads_of_a_file_are_put_together() -> None:
    """A file object that gives less than it is asked for still gives all."""

    class Grudging(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(3, size or 0))

    source = opened(Grudging(b"0123456789"))
    assert source.read(8) == b"01234567"


@pytest.mark.parametrize("wrong", [io.StringIO("text"), 3, None, ["a"]])
def test_what_cannot_be_uploaded_is_refused_at_once(wrong: Any) -> None:
    """With a sentence that says what would be right."""
    with pytest.raises(TypeError, match=r"path, bytes|'rb'|bytes were expected"):
        opened(wrong)


def test_text_and_nothing_are_not_taken_for_bytes() -> None:
    """A stream in text mode, and one in non-blocking mode without data."""

    class Odd:
        def __init__(self, gives: object) -> None:
            self.gives = gives

        def read(self, size: int) -> object:
            return self.gives

    with pytest.raises(TypeError, match="binary mode"):
        opened(cast(BinaryIO, Odd("text")))
    with pytest.raises(BlockingIOError):
        opened(cast(BinaryIO, Odd(None)))


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path) -> None:
    """FileNotFoundError, and a folder is IsADirectoryError."""
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "no")
    with pytest.raises(IsADirectoryError):
        opened(tmp_path)


def test_bytes_are_not_copied() -> None:
    """A large document in memory is not there twice."""
    data = bytearray(100)
    source = BytesSource(data)
    piece = source.read(10)
    data[0] = 1
    assert piece[0] == 1
    piece.release()
    source.close()
