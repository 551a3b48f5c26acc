"""How far a transfer is, how fast it goes, how long it will take. Arithmetic only; the clock is handed in."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

RATE_WINDOW = 5.0
"""Seconds over which the rate is taken."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a transfer stands. Sizes in bytes from the document's first; times in seconds.

    `position` is what has been handed to the transport (or received); it falls back when a connection
    breaks. `durable` is what will not have to be sent again (or has been written); it never falls. `total` is
    None for a source of unknown size. `rate` is in bytes per second over the last seconds.
    """

    position: int
    durable: int
    total: int | None
    elapsed: float
    rate: float

    @property
    def fraction(self) -> float | None:
        """`position` as a part of `total`, 0 to 1; None when the total is unknown."""
        if self.total is None:
            return None
        return min(1.0, self.position / self.total) if self.total else 1.0

    @property
    def remaining(self) -> float | None:
        """Seconds to go at the present rate; None when nobody can tell."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0, self.total - self.position) / self.rate


class Meter:
    """Makes `Progress` out of positions."""

    def __init__(self, total: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`total` as far as it is known."""
        self.total = total
        self._clock = clock
        self._began = clock()
        self._moved = 0
        self._position = 0
        self._durable = 0
        self._recent: deque[tuple[float, int]] = deque([(self._began, 0)])

    def moved(self, position: int) -> None:
        """Bytes up to `position` passed by, beginning where the last ones ended."""
        self._moved += max(0, position - self._position)
        self._position = position

    def at(self, position: int) -> None:
        """The transfer goes on from `position`, before or behind where it was; nothing passed by."""
        self._position = position

    def durable(self, size: int) -> None:
        """So much need not be sent again."""
        self._durable = max(self._durable, size)

    def progress(self) -> Progress:
        """The present state."""
        now = self._clock()
        self._recent.append((now, self._moved))
        while len(self._recent) > 2 and self._recent[1][0] <= now - RATE_WINDOW:
            self._recent.popleft()
        since, before = self._recent[0]
        seconds = now - since
        return Progress(
            position=self._position,
            durable=self._durable,
            total=self.total,
            elapsed=now - self._began,
            rate=(self._moved - before) / seconds if seconds > 0 else 0.0,
        )
