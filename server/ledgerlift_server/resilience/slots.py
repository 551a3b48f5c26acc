"""How many things of one kind go on at once, bounded without a queue: who finds no slot free is told so at once.

A queue would only move the wait to where nobody sees it. A caller that is refused knows when to come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class NoSlotFree(Exception):
    """As many as may go on do. Nothing was taken."""


@dataclass(frozen=True, slots=True)
class SlotsSnapshot:
    """`refused` counts from the start of the process."""

    name: str
    in_use: int
    limit: int
    refused: int


class Slots:
    """`limit` slots. Belongs to one event loop."""

    def __init__(self, name: str, limit: int) -> None:
        """`name` is what the slots are for, in the plural: `uploads`. Raises ValueError for a limit below 1."""
        if limit < 1:
            raise ValueError(f"{name}: a limit of {limit} lets nothing through")
        self.name = name
        self.limit = limit
        self._in_use = 0
        self._refused = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a slot for as long as the block runs, however it ends. Raises NoSlotFree."""
        if self._in_use >= self.limit:
            self._refused += 1
            raise NoSlotFree
        self._in_use += 1
        try:
            yield
        finally:
            self._in_use -= 1

    def snapshot(self) -> SlotsSnapshot:
        """How it stands now."""
        return SlotsSnapshot(self.name, self._in_use, self.limit, self._refused)
