"""The parts of one stream on their way into the ledger: only the contiguous prefix is ever recorded.

Parts become durable in any order. Whoever made one durable waits a little for others, and records all that now lie
behind the prefix without a gap: on a fast stream a transaction for each part was a tenth of the server's work.
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

    def __init__(
        self, session: UploadSession, ledger: UploadLedger, *, patience: float, on_durable: Callable[[], None]
    ) -> None:
        """`patience` is how many seconds a durable part waits for others to share its transaction, at the most.

        `on_durable` is called when the durable size has grown.
        """
        self._session = session
        self._ledger = ledger
        self._patience = patience
        self._on_durable = on_durable
        self._unrecorded: deque[Part] = deque()
        self._gathering: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self._closed = False
        self.persisted_size = session.persisted_size
        self.part_count = session.part_count

    def add(self, part: Part) -> None:
        """The next part in order."""
        self._unrecorded.append(part)

    async def update(self, *, at_once: bool) -> int:
        """Record what has become durable behind the prefix, `at_once` or when others had their chance to share the
        transaction; how many parts that were. 0 where another call waits already and will record them all.

        Raises what the ledger raises; records nothing then.
        """
        if at_once:
            self.hurry()
        if self._gathering is not None or not self._ready():
            return 0
        if not at_once:
            await self._gather()
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

    def hurry(self) -> None:
        """Whoever waits for others waits no longer."""
        if self._gathering is not None and not self._gathering.done():
            self._gathering.set_result(None)

    async def _gather(self) -> None:
        self._gathering = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({self._gathering}, timeout=self._patience)
        finally:
            self._gathering = None

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
