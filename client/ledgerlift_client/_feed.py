"""Hands messages from the thread that reads the source to the thread in which grpc asks for them.

The source is read, hashed and cut into messages by the calling thread alone. What a source raises, and
Ctrl-C, therefore come up where the caller is (grpc turns an exception of a request iterator into
UNKNOWN), and no thread of a broken call can still be reading a source that the next call has begun to read.
"""

from __future__ import annotations

import threading
from collections import deque


class Feed:
    """A bounded queue that is an iterator on grpc's side. `capacity` messages wait at most."""

    def __init__(self, capacity: int) -> None:
        self.taken = 0
        """Messages that grpc has asked for. Those that still waited when the call was over were never sent."""
        self._capacity = capacity
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, message: bytes) -> bool:
        """Wait for room and add `message`; False when the call is over and nobody wants it any more."""
        with self._changed:
            while len(self._messages) >= self._capacity:  # `stop` empties the queue
                self._changed.wait()
            if self._stopped:
                return False
            self._messages.append(message)
            self._changed.notify_all()
            return True

    def end(self) -> None:
        """There will be no further message."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self, _call: object = None) -> None:
        """The call is over: let go of both sides. Fits a call's `add_done_callback`."""
        with self._changed:
            self._stopped = True
            self._messages.clear()
            self._changed.notify_all()

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            while not self._messages and not self._ended and not self._stopped:
                self._changed.wait()
            if self._stopped or not self._messages:
                raise StopIteration
            message = self._messages.popleft()
            self.taken += 1
            self._changed.notify_all()
            return message
