"""The tables of a campaign: operations by kind and outcome, faults by kind and how soon they were got over."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict

from tests.faults.campaign.round import Outcome
from tests.faults.campaign.tally import OK
from tests.faults.printing import say, table

MOST_OUTCOMES = 6
"""Named in one row."""
MOST_BROKEN_OFF = 3
"""Rounds without a tool, that a run may have: with more of them it is the machine that has to be looked at."""
SUM = (
    *("stores", "seed", "time", "rounds", "operations", "faults", "got over", "median", "worst"),
    *("acknowledged", "looks at the ledger", "events heard", "violations"),
)
"""Of the last table, which is Markdown, for docs/RELIABILITY.md."""


class Total:
    """Of all rounds on one kind of stores. `broken_off`: those that do not count, because a tool ended by itself."""

    def __init__(self, kind: str, seed: int | str) -> None:
        self.kind = kind
        self.seed = seed
        self.rounds = self.documents = self.looks = self.heard = 0
        self._began = time.monotonic()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._faults: Counter[str] = Counter()
        self._recoveries: dict[str, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self.broken_off: list[str] = []

    @property
    def seconds(self) -> float:
        """Since the first round began to be made ready."""
        return time.monotonic() - self._began

    @property
    def goes_on(self) -> bool:
        """Nothing is wrong, and what this stands on holds."""
        return not self.wrong and len(self.broken_off) <= MOST_BROKEN_OFF

    @property
    def problems(self) -> list[str]:
        """What was wrong; also, where none or hardly a round could be played, why."""
        proves_nothing = not self.rounds or len(self.broken_off) > MOST_BROKEN_OFF
        return self.wrong + (self.broken_off if proves_nothing else [])

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
        recoveries = sorted(seconds for some in self._recoveries.values() for seconds in some)
        say(f"\n{self.kind}: the sum")
        cells = (
            (self.kind, str(self.seed), f"{self.seconds:.0f} s", self.rounds, operations, faults, len(recoveries)),
            (f"{statistics.median(recoveries):.1f} s" if recoveries else "-",),
            (f"{recoveries[-1]:.1f} s" if recoveries else "-",),
            (self.documents, self.looks, self.heard, len(self.wrong)),
        )
        say("| " + " | ".join(SUM) + " |")
        say("|---" * len(SUM) + "|")
        say("| " + " | ".join(str(cell) for some in cells for cell in some) + " |")
        for why in self.broken_off:
            say(f"not counted: {why}")

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
