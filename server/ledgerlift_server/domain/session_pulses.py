"""News of sessions that other streams, or other processes, may be changing.

Streams must learn that they were superseded, waiters that a result is there, watchers that bytes
became durable, on whichever replica it happened. One query per `interval` asks for all followed
sessions at once, however many there are; what happens in this process is looked at immediately
(`nudge`, `moved`), but not more often than `LOOKS_PER_INTERVAL` allows. Nothing here decides
anything: the ledger's compare-and-set does (rule 4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.upload_models import SessionPulse
from ledgerlift_server.errors import LedgerLiftError

logger = logging.getLogger(__name__)

Listener = Callable[[SessionPulse], None]

LOOKS_PER_INTERVAL = 10
"""Queries for pulses in one interval at the most, however often something happens here."""


class SessionPulses:
    """Asks the ledger for the pulse of every followed session, and tells the listeners what is new."""

    def __init__(self, ledger: UploadLedger, *, interval: float) -> None:
        """`interval` is in seconds; a nudge is answered at once, or a tenth of it after the look before."""
        self._ledger = ledger
        self._interval = interval
        self._listeners: dict[str, set[Listener]] = {}
        self._latest: dict[str, SessionPulse] = {}
        self._wake = asyncio.Event()

    @contextmanager
    def follow(self, upload_id: str, listener: Listener) -> Iterator[None]:
        """Call `listener` with the session's pulse, soon, and again whenever it has changed."""
        first = not self._listeners
        joins = upload_id in self._listeners
        listeners = self._listeners.setdefault(upload_id, set())
        listeners.add(listener)
        if upload_id in self._latest:
            listener(self._latest[upload_id])
        if first or joins:  # what was known may be old: nobody looks for a stream alone, see `moved`
            self._wake.set()
        try:
            yield
        finally:
            listeners.discard(listener)
            if not listeners and self._listeners.get(upload_id) is listeners:
                del self._listeners[upload_id]
                self._latest.pop(upload_id, None)

    def nudge(self, upload_id: str) -> None:
        """Something changed here: look now, if anybody follows."""
        if upload_id in self._listeners:
            self._wake.set()

    def moved(self, upload_id: str) -> None:
        """The stream that carries it has stored more: look now, if anybody else follows. The stream knows."""
        if len(self._listeners.get(upload_id, ())) > 1:
            self._wake.set()

    async def run(self) -> None:
        """Poll until cancelled. A database that cannot be asked is asked again at the next interval."""
        clock = asyncio.get_running_loop().time
        not_before = clock()
        while True:
            try:
                async with asyncio.timeout(self._interval if self._listeners else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(max(0.0, not_before - clock()))
            self._wake.clear()
            pause = self._interval / LOOKS_PER_INTERVAL
            try:
                await self._look()
            except LedgerLiftError as error:
                logger.warning("pulse_failed", extra={"reason": error.reason})
                pause = self._interval
            not_before = clock() + pause

    async def _look(self) -> None:
        if not self._listeners:
            return
        for upload_id, pulse in (await self._ledger.pulse(list(self._listeners))).items():
            if self._latest.get(upload_id) == pulse or upload_id not in self._listeners:
                continue
            self._latest[upload_id] = pulse
            for listener in list(self._listeners[upload_id]):
                listener(pulse)


class PulseInbox:
    """A listener for tasks that wait: keeps the latest pulse until it is asked for."""

    def __init__(self) -> None:
        self._pulse: SessionPulse | None = None
        self._news = asyncio.Event()

    def __call__(self, pulse: SessionPulse) -> None:
        """Listener."""
        self._pulse = pulse
        self._news.set()

    async def next(self) -> SessionPulse:
        """The latest pulse that has not been returned yet; waits for one."""
        await self._news.wait()
        self._news.clear()
        assert self._pulse is not None
        return self._pulse
