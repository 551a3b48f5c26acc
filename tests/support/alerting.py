"""The alert rules as a test can wait for them: minutes to days become seconds, all else stays as it is deployed.

Prometheus looks at a server every second here, and not every fifteen. An expression, its thresholds and its labels
are those of deploy/prometheus; what is made shorter is how far it looks back, and for how long it has to hold.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.repo.monitoring import RULES, alerts
from tests.support.prometheus import Prometheus

WINDOWS = {"1m": 2, "2m": 2, "5m": 4, "10m": 5, "15m": 6, "30m": 7, "1h": 8, "6h": 9, "3d": 11}
"""Seconds that a rule looks back for what is deployed; a longer one stays longer than a shorter one."""
WAITS = {"1m": 1, "2m": 2, "5m": 2, "10m": 3, "1h": 3, "2h": 3}
"""Seconds that an alert has to hold."""
AS_DEPLOYED = {"LedgerLiftRestarts"}
"""It counts what happened within its window: as many starts of a process do not fit into a shorter one."""
LOOKBACK = 4
"""Seconds that Prometheus goes by the last sample of a series that is scraped no more; five minutes otherwise."""
LONGER_WAITS = {"LedgerLiftEventLoopLate": 12, "LedgerLiftJanitorNotRunning": 6, "LedgerLiftDown": 4}
"""What a busy machine makes of a server that is well, too, for a moment. In a window of seconds one turn in a hundred
is any turn at all."""

Fired = tuple[str, str]
"""The scrape job, and the alert."""

_RANGE = re.compile(r"\[(\w+)\]")
_HOUR = "rate1h * 3600"
"""How many there were in an hour: the hour is another one here."""


def in_seconds(folder: Path) -> Path:
    """A file with the rules that look back for seconds."""
    read = yaml.safe_load(RULES.read_text())
    for group in read["groups"]:
        for rule in group["rules"]:
            _shorten(rule)
    (file := folder / "seconds.rules.yml").write_text(yaml.safe_dump(read))
    return file


def _shorten(rule: dict[str, Any]) -> None:
    name = rule.get("alert")
    if name not in AS_DEPLOYED:
        rule["expr"] = _RANGE.sub(lambda found: f"[{WINDOWS[found[1]]}s]", rule["expr"])
    rule["expr"] = rule["expr"].replace(_HOUR, f"rate1h * {WINDOWS['1h']}")
    if "for" in rule:
        rule["for"] = f"{LONGER_WAITS.get(name, WAITS[rule['for']])}s"


def fired(prometheus: Prometheus) -> set[Fired]:
    """Every alert that has fired so far, whether it still does or not."""
    ever = prometheus.query('count by (job, alertname) (count_over_time(ALERTS{alertstate="firing"}[1h]))')
    return {(one["metric"].get("job", ""), one["metric"]["alertname"]) for one in ever}


def hold_summaries(prometheus: Prometheus) -> None:
    """Of what fires now: all that a summary leaves open is filled in."""
    for alert in prometheus.ask("alerts")["alerts"]:
        name, told = alert["labels"]["alertname"], alert["annotations"]["summary"]
        form = ".+".join(map(re.escape, re.split(r"\{\{.*?\}\}", alerts()[name]["annotations"]["summary"])))
        assert re.fullmatch(form, told), f"{name}: {told}"
        assert not re.search(r"<no value>|<error|NaN|Inf|%!", told), f"{name}: {told}"
