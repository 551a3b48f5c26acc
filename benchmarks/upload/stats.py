"""Numbers out of rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and how far single rounds were from it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours over theirs, round by round.

    The two of one round ran right after one another, so that a machine that gets slower for a while
    slows both; the ratio of two medians could take one from the fast time and one from the slow.
    """
    return Spread.of([one / other for one, other in zip(ours, theirs, strict=True)])
