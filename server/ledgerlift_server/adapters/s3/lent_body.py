"""A borrowed buffer as the body of a request: read in place, any number of times."""

from __future__ import annotations

import os
from typing import Any

from ledgerlift_server.resilience.deadline import DeadlinePassed, current_deadline


class LentBody:
    """The file-like object that botocore wants, over a memoryview.

    `read` gives views, so nothing is copied on the way from the part buffer to the socket: urllib3 asks for
    128 KiB at a time and hands them to `sendall`. It is also where a transfer that goes on too long ends:
    no socket timeout bounds a store that keeps taking a few bytes.
    """

    def __init__(self, view: memoryview) -> None:
        """`view` must stay unchanged for as long as this is in use."""
        self._view = view
        self._position = 0

    def __len__(self) -> int:
        """All bytes, wherever the position is: botocore takes it for the content's length."""
        return len(self._view)

    def read(self, size: int | None = -1) -> memoryview:
        """The next bytes, at most `size`; empty at the end. Raises DeadlinePassed."""
        deadline = current_deadline()
        if deadline is not None and not deadline.remaining():
            raise DeadlinePassed
        end = len(self._view) if size is None or size < 0 else self._position + size
        taken = self._view[self._position : end]
        self._position += len(taken)
        return taken

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, as files do: every attempt begins at 0 again."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._view)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position


def as_body(view: memoryview) -> Any:
    """`view` for a request. An empty one is sent as bytes: a file may ask the store for its consent first.

    Typed as Any, for the stubs want all that files can.
    """
    return LentBody(view) if view else b""
