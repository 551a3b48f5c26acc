"""A monotonic clock that a test moves by hand."""

from __future__ import annotations


class ManualClock:
    """Call it for the time in seconds; `advance` it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now += seconds
