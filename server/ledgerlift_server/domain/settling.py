"""Parts of streams that have ended, still on their way into the ledger.

A client whose connection broke is back within milliseconds, and taking its session over fences these parts off: they
would be stored for nothing, and sent again. Who comes next therefore lets them settle first, for a bounded time. That
is never a wait for a stream that still takes bytes: such a one is superseded at once (DESIGN section 4 rule 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ledgerlift_server.domain.upload_models import UploadSession


class Settling:
    """Of all streams of this process. Belongs to its loop."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], set[asyncio.Task[None]]] = {}

    def add(self, session: UploadSession, parts: Iterable[asyncio.Task[None]]) -> None:
        """A stream of `session` takes no more bytes; `parts` carry what it took. May be told twice."""
        of = (session.owner, session.upload_id)
        for part in parts:
            if not part.done():
                self._parts.setdefault(of, set()).add(part)
                part.add_done_callback(lambda done: self._settled(of, done))

    async def over(self, owner: str, upload_id: str) -> None:
        """Wait until nothing of this session is on its way, whatever became of it. Cancelled, it disturbs no part."""
        while parts := self._parts.get((owner, upload_id)):
            await asyncio.wait(parts)

    def _settled(self, of: tuple[str, str], part: asyncio.Task[None]) -> None:
        parts = self._parts.get(of, set())
        parts.discard(part)
        if not parts:
            self._parts.pop(of, None)
