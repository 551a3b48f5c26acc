"""Hands messages from the task that reads the source to the one in which grpc asks for them; both on one loop.

As in the blocking client, what a source raises therefore comes up where the caller is, and not as the end of a call.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Feed:
    """A bounded queue that is an async iterator on grpc's side. `capacity` messages wait at most."""

    def __init__(self, capacity: int) -> None:
        self.taken = 0
        """Messages that grpc has asked for. Those that still waited when the call was over were never sent."""
        self._capacity = capacity
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._stopped = False
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._room.set()

    async def put(self, message: bytes) -> bool:
        """Wait for room and add `message`; False when the call is over and nobody wants it any more."""
        await self._room.wait()
        if self._stopped:
            return False
        self._messages.append(message)
        self._news.set()
        if len(self._messages) >= self._capacity:
            self._room.clear()
        return True

    def end(self) -> None:
        """There will be no further message."""
        self._ended = True
        self._news.set()

    def stop(self, _call: object = None) -> None:
        """The call is over: let go of both sides. Fits a call's `add_done_callback`."""
        self._stopped = True
        self._messages.clear()
        self._room.set()
        self._news.set()

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> bytes:
        await self._news.wait()
        if not self._messages:  # `news` without one is the end
            raise StopAsyncIteration
        message = self._messages.popleft()
        self.taken += 1
        self._room.set()
        if not self._messages and not self._ended:
            self._news.clear()
        return message
