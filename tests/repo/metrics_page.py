"""docs/metrics.md, row by row."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.tools import ROOT

ROW = re.compile(r"^\| `([a-z_]+)`( ¹)? \| (\w+) \|([^|]*)\| (.+) \|$", re.MULTILINE)
FREE = {"service", "method", "code", "operation", "version", "python", "generation", "le", "dependency"}
"""Labels whose values are not told row by row. `dependency` has its sentence above the table."""


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    kind: str
    labels: frozenset[str]
    timed: bool
    meaning: str


def page() -> dict[str, Row]:
    """By the name of the metric."""
    found = ROW.findall((ROOT / "docs" / "metrics.md").read_text())
    rows = {
        name: Row(kind, frozenset(re.findall("`([a-z]+)`", labels)), bool(mark), meaning)
        for name, mark, kind, labels, meaning in found
    }
    assert len(rows) == len(found), "a metric stands there twice"
    return rows
