"""Which fault begins when and lasts how long: drawn from a seed, written down, read again, cut down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

LONGEST_PAUSES = (4.0, 12.0)
"""Seconds at most between the end of a fault and the next one in the same lane: in some rounds nothing comes to rest,
in others most of what callers begin comes to its end."""
SOMETIMES = {"clocks": 0.6}
"""The share of rounds without anything of this lane: with wrong clocks, less can be said of what is left over."""
HEALTHY = 2.0
"""Seconds at the beginning of a round without any fault: there is something to lose then."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Faults of which one is done at a time; there are several lanes at once. `kinds`: the longest hold of each."""

    name: str
    kinds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault. Times in seconds, `at` from the beginning of the round; `pick` (0 to 1) is a choice that the kind of
    fault still has, as which server it is done to."""

    at: float
    kind: str
    hold: float
    pick: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """All of one round: it says what callers do (`seed`) and what is done to them."""

    stores: str
    seed: str
    seconds: float
    faults: tuple[Planned, ...]

    def only(self, faults: Sequence[Planned]) -> Schedule:
        """With these faults, and as long as they need."""
        last = max((fault.at + fault.hold for fault in faults), default=0.0)
        return replace(self, faults=tuple(faults), seconds=min(self.seconds, last + HEALTHY))

    def save(self, path: Path) -> None:
        """For `load`."""
        path.write_text(self.text + "\n")

    @property
    def text(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path) -> Schedule:
        """What `save` wrote."""
        said = json.loads(path.read_text())
        return cls(**{**said, "faults": tuple(Planned(**fault) for fault in said["faults"])})


def draw(stores: str, seed: str, seconds: float, lanes: Sequence[Lane]) -> Schedule:
    """The same for the same arguments."""
    faults: list[Planned] = []
    longest_pause = Random(seed).choice(LONGEST_PAUSES)  # noqa: S311 - to be made again, not to be secret
    for lane in lanes:
        random = Random(f"{seed}/{lane.name}")  # noqa: S311 - to be made again, not to be secret
        at = HEALTHY + random.uniform(0.0, longest_pause)
        if lane.name in SOMETIMES and random.random() < SOMETIMES[lane.name]:
            continue
        while lane.kinds and at < seconds:
            kind = random.choice(sorted(lane.kinds))
            hold = round(min(lane.kinds[kind] * random.uniform(0.2, 1.0), seconds - at), 2)
            faults.append(Planned(round(at, 2), kind, hold, round(random.random(), 4)))
            at += hold + random.uniform(0.5, longest_pause)
    return Schedule(stores, seed, seconds, tuple(sorted(faults, key=lambda fault: fault.at)))
