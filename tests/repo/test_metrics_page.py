"""docs/metrics.md and what a server really tells are the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repo.metrics_page import FREE, page
from tests.support.scrape import Scrape, scrape
from tests.support.server import in_process_server


@pytest.fixture
async def told(tmp_path: Path) -> Scrape:
    """A server's metrics, with everything on."""
    async with in_process_server(tmp_path, metrics_address="127.0.0.1:0") as server:
        return await scrape(server.metrics_address)


def test_every_metric_is_on_the_page_with_its_type_and_nothing_else(told: Scrape) -> None:
    """A new one is not done before an operator can read what it means."""
    types = dict(re.findall(r"^# TYPE (\S+) (\w+)$", told.text, re.MULTILINE))
    assert {name: row.kind for name, row in page().items()} == types


def test_labels_are_those_of_the_page_and_so_are_their_values(told: Scrape) -> None:
    """Every value of a label that has a few stands in its row, in code font."""
    rows = page()
    for family in told.families.values():
        row = rows.get(family.name) or rows[f"{family.name}_total"]
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == row.labels, sample
            for label, value in sample.labels.items():
                assert label in FREE or f"`{value}`" in row.meaning, f"{family.name} does not tell of {label}={value}"


def test_names_follow_the_conventions(told: Scrape) -> None:
    """Counters end in `_total`, nothing else does, and what is ours begins with `ledgerlift_`."""
    for name, row in page().items():
        assert (row.kind == "counter") == name.endswith("_total"), name
        assert name.startswith(("ledgerlift_", "process_", "python_")), name
    helps = re.findall(r"^# HELP (\S+) ?(.*)$", told.text, re.MULTILINE)
    assert [name for name, sentence in helps if not sentence] == []


async def test_what_is_marked_goes_with_performance_monitoring(tmp_path: Path) -> None:
    """Without it exactly these are not there."""
    options = {"metrics_address": "127.0.0.1:0", "enable_performance_monitoring": False}
    async with in_process_server(tmp_path, **options) as server:
        text = (await scrape(server.metrics_address)).text
    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert {name for name, row in page().items() if row.timed} == page().keys() - told
