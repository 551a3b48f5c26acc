"""What can be uploaded: bytes, files, and streams that cannot seek. Read by the calling thread only.

A stream that cannot seek keeps what has been read and is not yet durable, so that it can be sent again:
at most one segment, and the segments of such an upload are cut to `ClientOptions.replay_buffer` (or to
one stored part, where that is larger).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import AsyncIterable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, TypeGuard, cast

from ledgerlift_client.errors import SourceChanged, SourceNotRewindable

SourceLike: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Iterable[bytes]"
"""A path, the bytes themselves, a binary file object, which is read from where it stands, or pieces of bytes."""


class Source(Protocol):
    """Bytes in order. `size` is None where only the end will tell; `name` is a file name or None."""

    name: str | None
    size: int | None
    stamp: str | None
    """Changes when the source does: size and time of writing of a file that was opened here; None for others."""
    replay: int | None
    """Most bytes that are kept for sending again; None where any can be read again."""

    def unread(self, offset: int) -> int | None:
        """Where a stream stands that has to be read up to `offset` before it can `seek` there; None elsewhere."""

    def seek(self, offset: int) -> None:
        """Read from `offset` next. Raises SourceNotRewindable."""

    def read(self, most: int) -> bytes | memoryview:
        """The next bytes, as many as `most`; fewer only where they are not there yet; none at the end."""

    def settle(self, offset: int) -> None:
        """Bytes below `offset` will not be asked for again."""

    def check(self) -> None:
        """Raise SourceChanged when this is not the source it was at first."""

    def close(self) -> None:
        """Close what `open_source` opened, and nothing else."""


class BytesSource:
    """Bytes in memory; not copied."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.name: str | None = None
        self.stamp: str | None = None
        self.replay: int | None = None
        self._data = memoryview(data).cast("B")
        self.size: int | None = len(self._data)
        self._position = 0

    def unread(self, offset: int) -> int | None:
        """See Source."""

    def seek(self, offset: int) -> None:
        """See Source."""
        self._position = offset

    def read(self, most: int) -> memoryview:
        """See Source."""
        piece = self._data[self._position : self._position + most]
        self._position += len(piece)
        return piece

    def settle(self, offset: int) -> None:
        """See Source."""

    def check(self) -> None:
        """See Source."""

    def close(self) -> None:
        """See Source."""
        self._data.release()


class FileSource:
    """A file that can seek. `owned`: opened here, so watched for changes by size and time, and closed here."""

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self.name = _name_of(file)
        self.replay: int | None = None
        self._file = file
        self._owned = owned
        self._base = file.tell()
        self._size = max(0, file.seek(0, os.SEEK_END) - self._base)
        self.size: int | None = self._size
        file.seek(self._base)
        self.stamp = self._stamp_now()

    def unread(self, offset: int) -> int | None:
        """See Source."""

    def seek(self, offset: int) -> None:
        """See Source."""
        self._file.seek(self._base + offset)

    def read(self, most: int) -> bytes:
        """See Source. Never more than there was at first: a file that grows is found out by `check`."""
        position = self._file.tell() - self._base
        return _fill(self._file, min(most, max(0, self._size - position)))

    def settle(self, offset: int) -> None:
        """See Source."""

    def check(self) -> None:
        """See Source."""
        if self._stamp_now() != self.stamp:
            raise SourceChanged(f"{self.name or 'the file'} was written to while it was uploaded")
        position = self._file.tell()
        if self._file.seek(0, os.SEEK_END) - self._base != self._size:
            raise SourceChanged(f"{self.name or 'the file'} had {self._size} bytes and changed its size")
        self._file.seek(position)

    def close(self) -> None:
        """See Source."""
        if self._owned:
            self._file.close()

    def _stamp_now(self) -> str | None:
        # Only for a file opened here: the caller's own object may have writes of its own in its buffer.
        if not self._owned:
            return None
        found = os.fstat(self._file.fileno())
        return f"{found.st_size} {found.st_mtime_ns}"


class StreamSource:
    """A stream that cannot seek: a pipe, a socket, a response. Keeps what is not settled."""

    def __init__(self, stream: BinaryIO, *, replay: int, owned: bool) -> None:
        self.name = _name_of(stream)
        self.size: int | None = None
        self.stamp: str | None = None
        self.replay: int | None = replay
        self._stream = stream
        self._owned = owned
        self._next = cast(Any, getattr(stream, "read1", stream.read))
        self._kept = bytearray()
        self._base = 0
        self._cursor = 0

    def measure(self, most: int) -> None:
        """Read ahead up to `most` bytes. When the stream ends within them, its size is known from now on."""
        while self.look_ahead(most):
            pass

    def look_ahead(self, most: int) -> bool:
        """One read of `measure`; False when there is nothing more to do."""
        if self.size is not None or len(self._kept) >= most:
            return False
        if not self._pull(most - len(self._kept)):
            self.size = len(self._kept)
            self.replay = None
        return True

    def unread(self, offset: int) -> int | None:
        """See Source."""
        end = self._base + len(self._kept)
        return end if end < offset else None

    def seek(self, offset: int) -> None:
        """See Source."""
        if offset < self._base:
            raise SourceNotRewindable(
                f"bytes from {offset} are needed again, but only those from {self._base} have been kept"
            )
        if self.unread(offset) is not None:
            raise ValueError(f"bytes up to {offset} have not been read")
        self._cursor = offset

    def read(self, most: int) -> bytes:
        """See Source."""
        at = self._cursor - self._base
        piece = bytes(self._kept[at : at + most]) if at < len(self._kept) else self._pull(most)
        self._cursor += len(piece)
        return piece

    def settle(self, offset: int) -> None:
        """See Source."""
        durable = min(max(0, offset - self._base), len(self._kept))
        del self._kept[:durable]
        self._base += durable
        self._cursor = max(self._cursor, self._base)

    def check(self) -> None:
        """See Source."""

    def close(self) -> None:
        """See Source."""
        if self._owned:
            self._stream.close()

    def _pull(self, most: int) -> bytes:
        if self.size is not None:
            return b""
        piece = _as_bytes(self._next(most), self._stream)
        self._kept += piece
        return piece


def open_source(source: SourceLike | AsyncIterable[bytes], *, replay: int, peek: int) -> Source:
    """The source for what the caller gave. `peek` bytes of a stream are read ahead, to learn whether it is small.

    Raises OSError for a path that cannot be opened, TypeError for what cannot be uploaded.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesSource(source)
    if isinstance(source, str | os.PathLike):
        file = Path(source).open("rb", buffering=0)  # noqa: SIM115 - closed by Source.close
        try:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return FileSource(cast(BinaryIO, file), owned=True)
            stream = StreamSource(cast(BinaryIO, file), replay=replay, owned=True)
            stream.measure(peek)
        except BaseException:
            file.close()
            raise
        return stream
    if not _can_read(source):
        if isinstance(source, Iterable):
            pieces = StreamSource(cast(BinaryIO, _Pieces(iter(source))), replay=replay, owned=False)
            pieces.measure(peek)
            return pieces
        instead = " (the asyncio client takes it)" if isinstance(source, AsyncIterable) else ""
        raise TypeError(
            f"cannot upload a {type(source).__name__}{instead}: give a path, bytes, a binary file object or an "
            "iterable of bytes"
        )
    if isinstance(source, io.TextIOBase):
        raise TypeError("the file is open in text mode: open it with 'rb'")
    if _can_seek(source):
        return FileSource(source, owned=False)
    stream = StreamSource(source, replay=replay, owned=False)
    stream.measure(peek)
    return stream


class _Pieces:
    """An iterator of bytes, read like a stream. Nothing of it is joined: a large piece is handed out in slices."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, most: int) -> memoryview:
        """Up to `most` bytes; none at the end. An empty piece is not the end."""
        if not self._rest:
            for piece in self._pieces:
                self._rest = as_piece(piece)
                if self._rest:
                    break
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken


def as_piece(piece: object) -> memoryview:
    """What an iterable gave, as bytes that nobody changes. Raises TypeError."""
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise TypeError(f"the iterable gave {type(piece).__name__} where bytes were expected")
    return memoryview(bytes(piece))  # whoever made it may fill it anew


def _can_read(source: object) -> TypeGuard[BinaryIO]:
    return callable(getattr(source, "read", None))


def _can_seek(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable is not None and seekable())


def _fill(file: BinaryIO, most: int) -> bytes:
    """`most` bytes of a file, which by itself may return fewer; fewer only at its end."""
    piece = _as_bytes(file.read(most), file) if most else b""
    if len(piece) in (0, most):
        return piece
    pieces, missing = [piece], most - len(piece)
    while missing and (piece := _as_bytes(file.read(missing), file)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _as_bytes(piece: object, file: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    if piece is None:
        raise BlockingIOError(f"{file!r} is in non-blocking mode and has nothing to read")
    raise TypeError(f"{file!r} gave {type(piece).__name__} where bytes were expected: open it in binary mode")


def _name_of(file: object) -> str | None:
    name = getattr(file, "name", None)
    if not isinstance(name, str) or name.startswith("<"):
        return None
    return os.path.basename(name) or None
