"""The SHA-256 over a stream's parts: each has its turn behind the one before, off the loop, while both are stored."""

from __future__ import annotations

import asyncio

from ledgerlift_server.domain.digest_port import Hasher
from ledgerlift_server.domain.part_record import Part
from ledgerlift_server.domain.pipeline_tools import PipelineTools

INLINE_SIZE = 64 * 1024
"""Bytes that are hashed in less time than it takes to hand them to a thread."""


class OrderedHash:
    """Of one stream."""

    def __init__(self, hasher: Hasher | None, tools: PipelineTools) -> None:
        """`hasher` stands where the stream begins; None: the digest is computed by reading back."""
        self._hasher = hasher
        self._tools = tools
        self._last: asyncio.Future[None] | None = None

    @property
    def digest(self) -> str | None:
        """Over everything that had its turn, in hex; None where it is not known."""
        return None if self._hasher is None else self._hasher.hexdigest()

    def turn(self) -> HashTurn:
        """The turn of the part that comes next. It has to be taken."""
        before, self._last = self._last, asyncio.get_running_loop().create_future()
        return HashTurn(self._hasher, self._tools, before, self._last)

    async def whole(self, body: memoryview) -> None:
        """Of a document without parts."""
        assert self._hasher is not None, "a session without parts begins with a fresh hasher"
        if len(body) <= INLINE_SIZE:
            self._hasher.update(body)
        else:
            await self._tools.offload(self._hasher.update, body)


class HashTurn:
    """Of one part."""

    def __init__(
        self,
        hasher: Hasher | None,
        tools: PipelineTools,
        before: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> None:
        """Waits for `before`, and ends `done`."""
        self._hasher = hasher
        self._tools = tools
        self._before = before
        self._done = done

    async def take(self, part: Part, view: memoryview) -> None:
        """Hash it. A part that could not be hashed is never recorded, and so is nothing behind it."""
        try:
            if self._before is not None:
                await asyncio.wait({self._before})  # awaited itself, it would be cancelled with this part
            if self._hasher is not None:
                with self._tools.spans.step("hash"):
                    part.sha_state = await self._tools.offload(_absorb, self._hasher, view)
            part.hashed = True
        finally:
            self._done.set_result(None)


def _absorb(hasher: Hasher, view: memoryview) -> bytes | None:
    hasher.update(view)
    return hasher.state()
