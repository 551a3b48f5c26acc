"""The audit trail as it grows, for watchers on any replica.

The repository is asked at an interval, by cursor. That is what
makes it whole: an entry is given out once no earlier one can still appear.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ledgerlift_server.domain.document_port import DocumentRepository
from ledgerlift_server.domain.models import Caller, Event, EventFilter

BATCH = 32
"""Entries asked for at a time; a watcher that is slow to take them holds no more of them, long as they may be."""


class EventFeed:
    """Follows the audit trail for any number of watchers."""

    def __init__(self, documents: DocumentRepository, *, interval: float) -> None:
        """`interval` in seconds is how late an entry of another replica may be told."""
        self._documents = documents
        self._interval = interval

    async def watch(self, caller: Caller, where: EventFilter, cursor: str) -> AsyncIterator[Event]:
        """Entries after `cursor` (empty: from the oldest), each once and in order, for ever.

        Raises InvalidRequest for a bad cursor.
        """
        while True:
            events = await self._documents.events_after(caller.subject, where, cursor, limit=BATCH)
            for event in events:
                yield event
                cursor = event.cursor
            if len(events) < BATCH:
                await asyncio.sleep(self._interval)
