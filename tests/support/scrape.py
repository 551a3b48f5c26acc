"""What a Prometheus server would have taken from a scrape, read by the library's own parser."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT = 30.0
"""Seconds for one scrape, and for what a test waits for."""


@dataclass(frozen=True)
class Scrape:
    """One answer. `text` is as it came."""

    text: str

    @cached_property
    def families(self) -> dict[str, Metric]:
        """By name; a counter's is without `_total`."""
        return {family.name: family for family in text_string_to_metric_families(self.text)}

    def value(self, name: str, **labels: str) -> float:
        """Of the one series of this name with at least these labels; 0 where there is none yet."""
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert len(found) <= 1, f"{name} {labels} is more than one series"
        return found[0] if found else 0.0

    def calls(self, method: str, code: str) -> float:
        """Ended calls of a method by its short name."""
        return self.value("ledgerlift_rpc_calls_total", method=method, code=code)


async def scrape(address: str | None) -> Scrape:
    """Ask once, without holding up this loop."""
    return await asyncio.to_thread(scrape_in_place, address)


async def until(address: str | None, holds: Callable[[Scrape], bool]) -> Scrape:
    """The first scrape for which it holds. What a client did is counted when the server has noticed it."""
    async with asyncio.timeout(TIMEOUT):
        while not holds(seen := await scrape(address)):  # noqa: ASYNC110 - a scrape is all that tells of it
            await asyncio.sleep(0.05)
        return seen


def scrape_in_place(address: str | None) -> Scrape:
    """Ask once, and hold up whatever runs on this thread."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=TIMEOUT) as answer:
        return Scrape(answer.read().decode())
