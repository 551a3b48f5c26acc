"""What the calls of the last seconds came to, in a fixed amount of memory however many there are.

The window is cut into slices of equal length. A slice is forgotten as a whole when its beginning is older than the
window, so the counts are those of the last `length - length / SLICES` to `length` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

SLICES = 10
"""Of a window."""


@dataclass(slots=True)
class Counts:
    """`failed` and `slow` are parts of `calls`; a call may be both."""

    calls: int = 0
    failed: int = 0
    slow: int = 0


class SlidingWindow:
    """Counts of the calls that ended within the window. Not thread-safe; its owner has a lock."""

    def __init__(self, length: float) -> None:
        """`length` in seconds."""
        self._width = length / SLICES
        self._slices: dict[int, Counts] = {}

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """A call ended at `now` (monotonic seconds)."""
        self._forget(now)
        counts = self._slices.setdefault(self._slice(now), Counts())
        counts.calls += 1
        counts.failed += failed
        counts.slow += slow

    def total(self, now: float) -> Counts:
        """What the window holds at `now`."""
        self._forget(now)
        slices = self._slices.values()
        return Counts(sum(s.calls for s in slices), sum(s.failed for s in slices), sum(s.slow for s in slices))

    def clear(self) -> None:
        """Forget all."""
        self._slices.clear()

    def _slice(self, now: float) -> int:
        return int(now // self._width)

    def _forget(self, now: float) -> None:
        oldest = self._slice(now) - SLICES + 1
        for number in [number for number in self._slices if number < oldest]:
            del self._slices[number]
