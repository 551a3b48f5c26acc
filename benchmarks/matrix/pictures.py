"""Draws charts with matplotlib, which is in the development extra only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.matrix.findings import Chart, Finding, size_name


class NoMatplotlib(Exception):
    """It is not installed."""


def draw(findings: list[Finding], folder: Path) -> list[Path]:
    """One PNG for each chart. Raises NoMatplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as missing:
        raise NoMatplotlib(str(missing)) from missing
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for chart in [one.chart for one in findings if one.chart is not None]:
        figure, axes = pyplot.subplots(figsize=(7.5, 4.2), dpi=110, layout="constrained")
        _bars(axes, chart) if chart.bars else _lines(axes, chart)
        axes.set_title(chart.title, fontsize=11)
        axes.set_xlabel(chart.x)
        axes.set_ylabel(chart.y)
        axes.grid(True, which="major", alpha=0.3)
        path = folder / f"{chart.name}.png"
        figure.savefig(path)
        pyplot.close(figure)
        drawn.append(path)
    return drawn


def _lines(axes: Any, chart: Chart) -> None:
    for name, points in chart.lines.items():
        xs = [x for x, _ in points]
        ys = [spread.median for _, spread in points]
        below = [spread.median - spread.low for _, spread in points]
        above = [spread.high - spread.median for _, spread in points]
        axes.errorbar(xs, ys, yerr=[below, above], marker="o", capsize=3, label=name)
    axes.set_xscale("log", base=2)
    ticks = sorted({x for points in chart.lines.values() for x, _ in points})
    axes.set_xticks(
        ticks, [size_name(int(x)) if chart.x.endswith("bytes") else f"{x:,.0f}" for x in ticks], minor=False
    )
    if chart.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.legend(fontsize=8)


def _bars(axes: Any, chart: Chart) -> None:
    names = list(chart.lines)
    spreads = [chart.lines[name][0][1] for name in names]
    low = [spread.median - spread.low for spread in spreads]
    high = [spread.high - spread.median for spread in spreads]
    axes.barh(names, [spread.median for spread in spreads], xerr=[low, high], capsize=3)
    axes.invert_yaxis()
