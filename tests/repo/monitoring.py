"""Reads the rules and the dashboard: the queries in them, and the metrics that these name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.tools import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "ledgerlift.rules.yml"
UNIT_TESTS = PROMETHEUS / "ledgerlift.rules.test.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "ledgerlift.json"

_OURS = re.compile(r"\b((?:job\w*:)?(?:ledgerlift|process|python)_[a-zA-Z0-9_:]+|up|ALERTS)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!~|=|!=)\s*\"([^\"]*)\"")
VARIABLES = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}
"""Of the dashboard, as one who looks at everything has them."""


@dataclass(frozen=True)
class Selector:
    """A metric in a query, and what is asked of its labels: name, operator, value."""

    metric: str
    labels: tuple[tuple[str, str, str], ...]


def selectors(query: str) -> Iterator[Selector]:
    """Every metric that the query names."""
    for name, matchers in _OURS.findall(query):
        yield Selector(name, tuple(_MATCHER.findall(matchers)))


def rules() -> list[dict[str, Any]]:
    """All of them, recording and alerting, in order."""
    read = yaml.safe_load(RULES.read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """By their names."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    read: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return read


def panels() -> list[dict[str, Any]]:
    """Those that show something; rows are left out."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every query of the dashboard with its panel and its legend, variables filled in."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel, filled_in(target["expr"]), target["legendFormat"]


def filled_in(query: str, variables: Mapping[str, str] = VARIABLES) -> str:
    """The query as it is sent."""
    for name, value in variables.items():
        query = query.replace(name, value)
    return query
