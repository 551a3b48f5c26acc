"""Cancelling a transfer from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ledgerlift_client.errors import Cancelled


class CancelToken:
    """Given to transfers, and cancelled once, from any thread: each of them then raises `errors.Cancelled` at once.

    What is durable of an upload stays for its request id. One token may be given to any number of transfers.
    """

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._next = 0

    def cancel(self) -> None:
        """Cancel; repeating it changes nothing."""
        with self._lock:
            self._cancelled.set()
            callbacks = list(self._callbacks.values())
            self._callbacks.clear()
        for callback in callbacks:
            callback()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; True when it is cancelled."""
        return self._cancelled.wait(seconds)

    def check(self) -> None:
        """Raise `errors.Cancelled` when it is cancelled."""
        if self.cancelled:
            raise Cancelled("cancelled by the caller")

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` when it is cancelled within the block, at once where it is so already.

        It runs on the thread that cancels and must not raise.
        """
        with self._lock:
            key = self._next = self._next + 1
            if not self.cancelled:
                self._callbacks[key] = callback
        if self.cancelled:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.pop(key, None)
