"""The parts of one stream on their way into the ledger: only the contiguous prefix is ever recorded.

Parts become durable in any order. Whoever made one durable records all that now lie behind the prefix
without a gap; parts that became durable while one transaction ran share the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.upload_models import StoredPart, UploadSession


@dataclass(slots=True)
class Part:
    """A part that was received. `stored` and `hashed` come independently of each other."""

    number: int
    size: int
    stored: StoredPart | None = None
    hashed: bool = False
    sha_state: bytes | None = None
    """The hash state over everything up to the part's end, where there is one."""


class PartRecord:
    """What the ledger knows of a stream's parts, and what it does not know yet."""

    def __init__(self, session: UploadSession, ledger: UploadLedger, *, on_durable: Callable[[], None]) -> None:
        """`on_durable` is called when the durable size has grown."""
        self._session = session
        self._ledger = ledger
        self._on_durable = on_durable
        self._unrecorded: deque[Part] = deque()
        self._turn = asyncio.Lock()
        self._closed = False
        self.persisted_size = session.persisted_size
        self.part_count = session.part_count

    def add(self, part: Part) -> None:
        """The next part in order."""
        self._unrecorded.append(part)

    async def update(self) -> int:
        """Record what has become durable behind the prefix; how many parts that were.

        Raises what the ledger raises; records nothing then.
        """
        async with self._turn:
            ready = self._ready()
            if not ready:
                return 0
            try:
                await self._ledger.record_parts(
                    self._session.upload_id,
                    self._session.epoch,
                    self.persisted_size,
                    [part.stored for part in ready if part.stored],
                    ready[-1].sha_state,
                )
            except BaseException:
                self._closed = True  # refused, or of unknown outcome: what follows would not fit any more
                raise
            for part in ready:
                self._unrecorded.popleft()
                self.persisted_size += part.size
                self.part_count += 1
        self._on_durable()
        return len(ready)

    async def close(self) -> tuple[StoredPart, ...]:
        """Record nothing more. The stored parts that the ledger has not seen, in order."""
        async with self._turn:
            self._closed = True
            return tuple(part.stored for part in self._unrecorded if part.stored)

    def _ready(self) -> list[Part]:
        ready: list[Part] = []
        for part in self._unrecorded:
            short = part.size < self._session.part_size  # the document's end: recorded by the commit
            if self._closed or part.stored is None or not part.hashed or short:
                break
            ready.append(part)
        return ready
