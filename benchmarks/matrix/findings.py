"""What was measured, as tables in Markdown, as JSON and as pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.upload.stats import Spread


@dataclass(slots=True)
class Chart:
    """Lines over a logarithmic axis, or bars where `bars`; each point with its lowest and highest round."""

    name: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, Spread]]] = field(default_factory=dict)
    log_y: bool = True
    bars: bool = False

    def add(self, line: str, x: float, spread: Spread) -> None:
        """One point."""
        self.lines.setdefault(line, []).append((x, spread))


@dataclass(slots=True)
class Finding:
    """One table, under a heading, and its picture."""

    title: str
    said: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    chart: Chart | None = None
    goals: list[tuple[str, float, float]] = field(default_factory=list)
    """What, found, at least."""

    def text(self) -> str:
        """In Markdown."""
        lines = [f"### {self.title}", "", self.said, ""]
        lines += [f"| {' | '.join(row)} |" for row in (self.head, ["---"] * len(self.head), *self.rows)]
        for what, found, least in self.goals:
            verdict = "met" if found >= least else "**not met**"
            lines += ["", f"{what}: {found:.2f}, goal {least:g}: {verdict}."]
        if self.chart is not None:
            lines += ["", f"![{self.chart.title}](images/{self.chart.name}.png)"]
        return "\n".join(lines)


@dataclass(slots=True)
class Findings:
    """All of one run."""

    command: str
    machine: dict[str, str]
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Sections that ended in an error, and which."""

    @property
    def all_met(self) -> bool:
        """Nothing failed, and every goal that was measured was reached."""
        return not self.failed and all(found >= least for one in self.findings for _, found, least in one.goals)

    def text(self) -> str:
        """In Markdown."""
        head = [f"`{self.command}`", "", *(f"- {name}: {value}" for name, value in self.machine.items())]
        tail = [f"Not measured: {reason}." for reason in self.left_out]
        tail += [f"FAILED: {reason}" for reason in self.failed]
        return "\n\n".join(["\n".join(head), *(one.text() for one in self.findings), *tail])

    def write(self, file: Path) -> None:
        """Everything, as JSON."""
        told: dict[str, Any] = asdict(self)
        file.write_text(json.dumps(told, indent=1) + "\n")


def shown(spread: Spread, digits: int = 0) -> str:
    """Median and range."""
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} - {spread.high:.{digits}f})"


def size_name(size: int) -> str:
    """As people write it."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:g} {unit}"
    return f"{size} B"
