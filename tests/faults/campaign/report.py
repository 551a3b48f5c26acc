"""The tables of a campaign: operations by kind and outcome, faults by kind and how soon they were got over."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict

from tests.faults.campaign.round import Outcome
from tests.faults.campaign.tally import OK
from tests.faults.printing import say, table

MOST_OUTCOMES = 6
"""Named in one row."""


class Total:
    """Of all rounds on one kind of stores."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.rounds = self.documents = self.looks = self.heard = 0
        self._counts: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._recoveries: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []

    def add(self, outcome: Outcome) -> None:
        """One round more."""
        self.rounds += 1
        self.documents += outcome.documents
        self.looks += outcome.looks
        self.heard += outcome.heard
        self._counts += outcome.counts
        self._faults += outcome.faults
        for kind, seconds in outcome.recoveries.items():
            self._recoveries[kind] += seconds
        self.wrong += outcome.wrong

    def print(self) -> None:
        """Both tables, and a line that sums them up."""
        say(f"\n{self.kind}: what callers did")
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for (kind, outcome), count in self._counts.items():
            by_kind[kind][outcome] += count
        rows = [(kind, str(seen.total()), str(seen[OK]), _others(seen)) for kind, seen in sorted(by_kind.items())]
        table(("operation", "times", "OK", "other outcomes"), rows)
        say(f"\n{self.kind}: what was done to them")
        table(("fault", "times", "got over", "median", "worst"), [self._fault(kind) for kind in sorted(self._faults)])
        operations, faults = self._counts.total(), self._faults.total()
        recoveries = sum(map(len, self._recoveries.values()))
        say(
            f"\n{self.kind}: {self.rounds} rounds, {operations} operations, {faults} faults, {recoveries} of them "
            f"got over, {self.documents} documents acknowledged, {self.looks} looks at the ledger, "
            f"{self.heard} events heard, {len(self.wrong)} violations"
        )

    def _fault(self, kind: str) -> tuple[str, ...]:
        times = self._recoveries.get(kind, [])
        if not times:
            return kind, str(self._faults[kind]), "0", "-", "-"
        median, worst = statistics.median(times), max(times)
        return kind, str(self._faults[kind]), str(len(times)), f"{median:.1f} s", f"{worst:.1f} s"


def _others(seen: Counter[str]) -> str:
    others = [(what, count) for what, count in seen.most_common() if what != OK]
    named = ", ".join(f"{what} {count}" for what, count in others[:MOST_OUTCOMES])
    rest = sum(count for _, count in others[MOST_OUTCOMES:])
    return (named + (f", others {rest}" if rest else "")) or "-"
