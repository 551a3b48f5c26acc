"""What callers did and how it ended, for the table, and for telling when a fault was got over."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass

OK = "OK"
NOTHING_THERE = "nothing there yet"
"""A caller found no document to do this with."""


@dataclass(frozen=True, slots=True)
class Done:
    """One operation. Times as of `time.monotonic`."""

    kind: str
    who: str
    began: float
    ended: float
    outcome: str


class Tally:
    """Used by all callers at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: list[Done] = []

    def add(self, done: Done) -> None:
        """One more."""
        with self._lock:
            self._done.append(done)

    def all(self) -> list[Done]:
        """Those that have ended, in the order of their ends."""
        with self._lock:
            return list(self._done)

    def counts(self) -> Counter[tuple[str, str]]:
        """By kind and outcome."""
        return Counter((done.kind, done.outcome) for done in self.all())

    def recovered(self, since: float) -> float | None:
        """Seconds until the end of the first upload that began after `since` and went well; None: there was none."""
        fine = (done for done in self.all() if done.kind == "upload" and done.began >= since and done.outcome == OK)
        return min((done.ended - since for done in fine), default=None)
