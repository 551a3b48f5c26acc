"""What the alert rules make of a server: its scrapes before and under a fault, told to promtool as if they went on.

A fault shows in a scrape within a second; an alert wants it to last for minutes. So what was scraped is laid out in
time: 5 minutes as it was before, then as it was under the fault, gauges as they stood and counters growing with every
scrape by as much as they grew between the two. What is evaluated, the rules and their `for`, is Prometheus' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.repo.monitoring import RULES, alerts, rules, selectors
from tests.support.prometheus import promtool
from tests.support.scrape import Scrape

PER_MINUTE = 4
"""Scrapes."""
BEFORE = 5
"""Minutes without the fault; no rule looks back so little that it would be short of them."""
ADDED = {"job": "ledgerlift", "instance": "server:9464"}

Series = Mapping[tuple[str, tuple[tuple[str, str], ...]], tuple[float, bool]]


def fires(name: str, before: Scrape, under: Scrape, folder: Path, *, minutes: int) -> None:
    """Hold that the alert is silent at the end of the time before, and fires after so many minutes of the fault."""
    assert name in alerts()
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": name,
                "interval": f"{60 // PER_MINUTE}s",
                "input_series": _laid_out(_series(before), _series(under), minutes),
                "promql_expr_test": [
                    {
                        "expr": f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})',
                        "eval_time": f"{at}m",
                        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1}] if firing else [],
                    }
                    for at, firing in ((BEFORE - 1, False), (BEFORE + minutes, True))
                ],
            }
        ],
    }
    (file := folder / "alert.test.yml").write_text(yaml.safe_dump(test))
    told = promtool("test", "rules", file)
    assert told.returncode == 0, told.stdout


def _series(scraped: Scrape) -> Series:
    """Of the metrics that rules ask for, by name and labels: the value, and whether it only grows."""
    asked = {one.metric for rule in rules() for one in selectors(rule["expr"])}
    return {
        (sample.name, tuple(sorted((sample.labels | ADDED).items()))): (
            sample.value,
            family.type in ("counter", "histogram"),
        )
        for family in scraped.families.values()
        for sample in family.samples
        if sample.name in asked
    }


def _laid_out(before: Series, under: Series, minutes: int) -> list[dict[str, str]]:
    times = minutes * PER_MINUTE
    found = []
    for key, (value, grows) in under.items():
        first = before.get(key)
        start = f"_x{BEFORE * PER_MINUTE}" if first is None else f"{_number(first[0])}x{BEFORE * PER_MINUTE - 1}"
        growth = value - (0.0 if first is None else first[0]) if grows else 0.0
        name, labels = key
        told = ", ".join(f'{label}="{content}"' for label, content in labels)
        found.append({"series": f"{name}{{{told}}}", "values": f"{start} {_number(value)}+{_number(growth)}x{times}"})
    return found


def _number(value: float) -> str:
    return f"{value:.9f}"
