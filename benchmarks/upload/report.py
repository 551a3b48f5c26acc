"""The result as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.upload.comparisons import TITLES, Comparison
from benchmarks.upload.harness import Track
from benchmarks.upload.memory import MemoryResult
from benchmarks.upload.payload import MIB
from benchmarks.upload.stats import Spread, ratios


@dataclass(frozen=True, slots=True)
class Judged:
    """A comparison with its result. `met` is None where there is no goal."""

    group: str
    comparison: Comparison
    ratio: Spread

    @property
    def met(self) -> bool | None:
        """The median of the rounds' ratios reaches the goal."""
        return None if self.comparison.at_least is None else self.ratio.median >= self.comparison.at_least


@dataclass(slots=True)
class Report:
    """All that one run measured. `skipped` says what could not be, and why."""

    command: str
    machine: Mapping[str, str]
    size: int
    rounds: int
    tracks: dict[str, dict[str, Track]] = field(default_factory=dict)
    """By group, then by contestant."""
    judged: list[Judged] = field(default_factory=list)
    memory: list[MemoryResult] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def judge(self, group: str, comparisons: Iterable[Comparison]) -> None:
        """Compare the tracks of `group`, as far as they are there."""
        tracks = self.tracks[group]
        for one in comparisons:
            if one.ours in tracks and one.theirs in tracks:
                ratio = ratios(tracks[one.ours].rates, tracks[one.theirs].rates)
                self.judged.append(Judged(group, one, ratio))

    @property
    def all_met(self) -> bool:
        """Every goal that was measured was reached."""
        return all(one.met is not False for one in self.judged) and all(one.met for one in self.memory)

    def json(self) -> dict[str, Any]:
        """Everything, single rounds included."""
        return {
            "command": self.command,
            "machine": dict(self.machine),
            "size": self.size,
            "rounds": self.rounds,
            "groups": {
                group: [{**asdict(track), "mib_per_second": asdict(track.rate)} for track in tracks.values()]
                for group, tracks in self.tracks.items()
            },
            "comparisons": [
                {"group": one.group, **asdict(one.comparison), "ratio": asdict(one.ratio), "met": one.met}
                for one in self.judged
            ],
            "memory": [{**asdict(one), "met": one.met} for one in self.memory],
            "skipped": self.skipped,
        }

    def text(self) -> str:
        """Tables in Markdown."""
        lines = [f"`{self.command}`", ""]
        lines += [f"- {name}: {value}" for name, value in self.machine.items()]
        for group, tracks in self.tracks.items():
            lines += ["", f"### {TITLES[group]}", "", *self._rates(tracks.values())]
            judged = [one for one in self.judged if one.group == group]
            if judged:
                lines += ["", *_ratios(judged)]
        if self.memory:
            lines += ["", "### Resident memory of the server", "", *_memory(self.memory)]
        lines += [f"\nNot measured: {reason}" for reason in self.skipped]
        return "\n".join(lines)

    def _rates(self, tracks: Iterable[Track]) -> list[str]:
        rows = [
            (
                track.name,
                f"{track.rate.median:.0f}",
                f"{track.rate.low:.0f} - {track.rate.high:.0f}",
                _cpu(track.server_cpu, track.size),
                _cpu(track.client_cpu, track.size),
                track.durability,
            )
            for track in tracks
        ]
        head = ("contestant", "MiB/s", "min - max", "server CPU s/GiB", "client CPU s/GiB", "when it is answered")
        said = f"{self.size / MIB:.0f} MiB in one stream, median of {self.rounds} interleaved rounds:"
        return [said, "", *_table(head, rows)]


def _ratios(judged: Sequence[Judged]) -> list[str]:
    rows = [
        (
            f"{one.comparison.ours} / {one.comparison.theirs}",
            f"{one.ratio.median:.2f}",
            f"{one.ratio.low:.2f} - {one.ratio.high:.2f}",
            "" if one.comparison.at_least is None else f">= {one.comparison.at_least:g}",
            {True: "met", False: "NOT MET", None: ""}[one.met],
        )
        for one in judged
    ]
    return _table(("ratio", "median", "min - max", "goal", ""), rows)


def _memory(results: Sequence[MemoryResult]) -> list[str]:
    rows = [
        (
            one.store,
            f"{one.upload_size / MIB:.0f} MiB",
            f"{one.idle / MIB:.1f}",
            ", ".join(f"{peak / MIB:.1f}" for peak in one.peaks),
            "-" if one.high_water is None else f"{one.high_water / MIB:.1f}",
            f"<= {one.bound / MIB:.1f}",
            "met" if one.met else "NOT MET",
        )
        for one in results
    ]
    return _table(("store", "upload", "idle MiB", "peak MiB, by upload", "VmHWM MiB", "goal MiB", ""), rows)


def _cpu(seconds: Sequence[float], size: int) -> str:
    return f"{Spread.of(seconds).median * 1024 * MIB / size:.2f}" if seconds else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (head, *rows)
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
