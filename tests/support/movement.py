"""Which of the series that servers tell of have changed, over all scrapes of them that a test has made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from tests.support.scrape import Scrape, scrape

PATIENCE = 60.0
"""Seconds that something may take to show; what is waited for here is there in a few, on a machine with time."""

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Group:
    """Series of one name that are one thing to look at: their labels, but for those that are left out."""

    name: str
    """Of the samples: with `_total`, `_sum`, `_count`."""
    labels: Labels

    def __str__(self) -> str:
        told = ",".join(f'{label}="{value}"' for label, value in sorted(self.labels))
        return f"{self.name}{{{told}}}" if told else self.name


@dataclass
class Movements:
    """`left_out` are labels by the name of the family: it is enough there that one of the series changes."""

    left_out: Mapping[str, Set[str]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    """Every family that was ever told of, as its TYPE line names it."""
    _servers: set[str] = field(default_factory=set)
    _first: dict[tuple[str, Group, Labels], float] = field(default_factory=dict)
    _groups: dict[str, dict[Group, bool]] = field(default_factory=dict)
    """By family; True once one of the series has changed."""

    def see(self, server: str, seen: Scrape) -> None:
        """One more scrape of this server. What grows has begun with 0, also where it had no series yet."""
        began = server in self._servers
        self._servers.add(server)
        self.types |= dict(re.findall(r"^# TYPE (ledgerlift_\S+) (\w+)$", seen.text, re.MULTILINE))
        for family in seen.families.values():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            if name not in self.types:
                continue
            grows = began and family.type in ("counter", "histogram")
            groups = self._groups.setdefault(name, {})
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    continue
                labels = frozenset(sample.labels.items())
                left_out = self.left_out.get(name, frozenset())
                group = Group(sample.name, frozenset(one for one in labels if one[0] not in left_out))
                first = self._first.setdefault((server, group, labels), 0.0 if grows else sample.value)
                groups[group] = groups.get(group, False) or sample.value != first

    def moved(self, family: str) -> list[Group]:
        """Groups of this family that have changed."""
        return [group for group, moved in self._groups.get(family, {}).items() if moved]

    def still(self) -> Iterator[tuple[str, str]]:
        """Family and group of what has not; of a family without any series its name alone."""
        for family in self.types:
            for group, moved in (self._groups.get(family) or {family: False}).items():
                if not moved:
                    yield family, str(group)


@dataclass(frozen=True)
class Watched:
    """One server's metrics. Every scrape is remembered."""

    server: str
    address: str
    movements: Movements

    async def scrape(self) -> Scrape:
        """Ask once."""
        seen = await scrape(self.address)
        self.movements.see(self.server, seen)
        return seen

    async def until(self, what: str, holds: Callable[[Scrape], bool]) -> Scrape:
        """The first scrape for which it holds. Fails with `what` where there is none for a minute."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE
        while not holds(seen := await self.scrape()):
            assert loop.time() < give_up_at, f"{self.server}: never seen: {what}"
            await asyncio.sleep(0.05)  # a scrape is all that tells of it
        return seen

    async def until_nothing(self, name: str, **labels: str) -> None:
        """Return once the one series of this name with these labels is 0."""
        await self.until(f"no {name} {labels}", lambda now: now.value(name, **labels) == 0)

    async def until_moved(self, name: str, **labels: str) -> None:
        """Return once the one series of this name with these labels is above 0."""
        await self.until(f"{name} {labels}", lambda now: now.value(name, **labels) > 0)
