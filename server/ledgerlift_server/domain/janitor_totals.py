"""What the janitor's passes add up to since the process began. Metrics read it, on another thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ledgerlift_server.domain.drift import DriftReport


class PassEnd(Enum):
    """How a pass ended."""

    DONE = "done"
    FAILED = "failed"
    """A step could not be made; the others were."""
    NOT_HOLDER = "not_holder"
    """Another replica has the lease."""


@dataclass(slots=True)
class JanitorTotals:
    """`actions` by the names of the numbers in the janitor's report. Orphans count where they were dealt with."""

    actions: dict[str, int]
    passes: dict[PassEnd, int] = field(default_factory=lambda: dict.fromkeys(PassEnd, 0))
    orphan_multiparts: int = 0
    orphan_objects: int = 0
    comparisons: int = 0
    """Those that came to their end."""
    missing_objects: int | None = None
    """What the last of them found; None before the first, and where another replica does the work by now."""
    waiting_removals: int | None = None
    """In the outbox, when they were last counted; None as above."""

    def add(
        self, end: PassEnd, actions: Mapping[str, int], drift: DriftReport | None, waiting_removals: int | None
    ) -> None:
        """A pass has ended. What it did before it failed counts as well."""
        self.passes[end] += 1
        if end is PassEnd.NOT_HOLDER:
            # What this process found once is for the holder to say; an alert on it would never end here.
            self.missing_objects = self.waiting_removals = None
        elif waiting_removals is not None:
            self.waiting_removals = waiting_removals
        for name, count in actions.items():
            self.actions[name] += count
        if drift is None:
            return
        self.orphan_multiparts += drift.orphan_multiparts
        self.orphan_objects += drift.orphan_objects
        if drift.complete:
            self.comparisons += 1
            self.missing_objects = drift.missing_objects
