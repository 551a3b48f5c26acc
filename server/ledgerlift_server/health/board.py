"""The names that `grpc.health.v1` answers for, and the one rule for each.

    ""                  serving unless starting or draining; the same for each service's full name
    liveness            always: a process that answers is alive, whatever else has failed
    readiness           as "", while what READINESS_CHECKS names is well
    database, storage   reachable, whatever the server itself is doing; `s3` is another word for `storage`
    system              the machine has processors, memory and disk to spare

Nothing here waits: a probe reads what was last found out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping
from enum import Enum, auto

WHOLE_SERVER = ""
LIVENESS, READINESS = "liveness", "readiness"
DATABASE, STORAGE, SYSTEM = "database", "storage", "system"
S3 = "s3"
COMPONENTS = (DATABASE, STORAGE, SYSTEM)

KEPT_CHANGES = 16
"""Changes that are kept for a watcher that does not read; of older ones it never hears."""


class Phase(Enum):
    """Of the server's life."""

    STARTING = auto()
    OPEN = auto()
    DRAINING = auto()


class HealthBoard:
    """Who serves and who does not. Belongs to one event loop."""

    def __init__(self, services: Collection[str], readiness_checks: Collection[str]) -> None:
        """`services` are full names; `readiness_checks` are of COMPONENTS. At first only the process is alive."""
        self._phase = Phase.STARTING
        self._services = frozenset(services)
        self._readiness_checks = frozenset(readiness_checks)
        self._well = dict.fromkeys(COMPONENTS, False)
        self._names = (WHOLE_SERVER, *services, LIVENESS, READINESS, *COMPONENTS, S3)
        self._statuses = self._derived()
        self._watchers: dict[str, set[_Watcher]] = {}

    @property
    def statuses(self) -> Mapping[str, bool]:
        """Every name, and whether it serves."""
        return self._statuses

    def open(self) -> None:
        """Start-up is done."""
        self._enter(Phase.OPEN)

    def drain(self) -> None:
        """The server takes its leave. What the components report is told until the end."""
        self._enter(Phase.DRAINING)

    def report(self, component: str, well: bool) -> None:
        """What was found out about one of COMPONENTS."""
        self._well[component] = well
        self._publish()

    async def watch(self, name: str) -> AsyncIterator[bool | None]:
        """Whether `name` serves: now, and at every change. One None, and then nothing, for an unknown name."""
        watcher = _Watcher(self._statuses.get(name))
        watchers = self._watchers.setdefault(name, set())
        watchers.add(watcher)
        try:
            while True:
                yield await watcher.next()
        finally:
            watchers.discard(watcher)
            if not watchers:
                self._watchers.pop(name, None)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._publish()

    def _publish(self) -> None:
        before, self._statuses = self._statuses, self._derived()
        for name, watchers in self._watchers.items():
            if name in before and before[name] != self._statuses[name]:
                for watcher in watchers:
                    watcher.tell(self._statuses[name])

    def _derived(self) -> dict[str, bool]:
        return {name: self._serves(name) for name in self._names}

    def _serves(self, name: str) -> bool:
        if name == LIVENESS:
            return True
        if name == READINESS:
            return self._phase is Phase.OPEN and all(self._well[check] for check in self._readiness_checks)
        if name == WHOLE_SERVER or name in self._services:
            return self._phase is Phase.OPEN
        return self._well[STORAGE if name == S3 else name]


class _Watcher:
    """What one watcher has not been told yet, in order. One that never reads costs nobody anything."""

    def __init__(self, first: bool | None) -> None:
        self._untold: deque[bool | None] = deque([first], maxlen=KEPT_CHANGES)
        self._news = asyncio.Event()
        self._news.set()

    def tell(self, serves: bool) -> None:
        self._untold.append(serves)
        self._news.set()

    async def next(self) -> bool | None:
        await self._news.wait()
        oldest = self._untold.popleft()
        if not self._untold:
            self._news.clear()
        return oldest
