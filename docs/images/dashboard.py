"""Draws docs/images/dashboard.png: the dashboard's panels in their places, by their own queries, over a real run.

    python docs/images/dashboard.py http://127.0.0.1:9090 8 dashboard.png

asks that Prometheus about the last 8 minutes, or about those before a fourth argument, in Unix time. It is not
Grafana, which makes lines, legends and colours of its own: it shows what the queries say, and where the panels stand.
"""

from __future__ import annotations

import json
import math
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter
from PIL import Image

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "ledgerlift.json"
VARIABLES = {"$__rate_interval": "30s", "$job": ".*", "$instance": ".*"}
COLUMN, ROW = 0.72, 0.36
"""Inches of a cell of Grafana's grid."""
POINTS = 240
"""Of each series."""
COLOURS = [
    "#3f8f4f",
    "#d9a400",
    "#3274d9",
    "#e0752d",
    "#8f3bb8",
    "#c4162a",
    "#1f9aa5",
    "#7a6a58",
    "#d683ce",
    "#555555",
]


def ask(url: str, path: str, **parameters: str | float) -> list[dict[str, Any]]:
    """The series of one query, variables filled in."""
    for name, value in VARIABLES.items():
        parameters["query"] = str(parameters["query"]).replace(name, value)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


def legend_of(pattern: str, labels: Mapping[str, str]) -> str:
    """`{{method}}` filled in."""
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern


def told(value: float, unit: str) -> str:
    """A value as its unit is read."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s" and value < 1:
        return f"{value * 1000:.3g} ms"
    if unit in ("bytes", "Bps"):
        for prefix in ("", "Ki", "Mi", "Gi"):
            if value < 1024 or prefix == "Gi":
                return f"{value:.3g} {prefix}B" + ("/s" if unit == "Bps" else "")
            value /= 1024
    return f"{value:.3g}" + {"s": " s", "reqps": "/s", "ops": "/s"}.get(unit, "")


def draw_stat(axes: Any, panel: Mapping[str, Any], url: str, end: float) -> None:
    """One number, in the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    found = ask(url, "query", query=panel["targets"][0]["expr"], time=end)
    text, colour = "no data", "#999999"
    if found:
        value = float(found[0]["value"][1])
        text = told(value, defaults["unit"])
        steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
        colour = {"green": "#3f8f4f", "orange": "#e0752d", "red": "#c4162a"}[steps[-1]["color"]]
    axes.axis("off")
    axes.text(0.5, 0.4, text, ha="center", va="center", fontsize=19, color=colour, transform=axes.transAxes)


def draw_lines(axes: Any, panel: Mapping[str, Any], url: str, begin: float, end: float) -> None:
    """One line for each series, or one area on the other."""
    defaults = panel["fieldConfig"]["defaults"]
    lines = []
    for target in panel["targets"]:
        step = (end - begin) / POINTS
        for one in ask(url, "query_range", query=target["expr"], start=begin, end=end, step=step):
            known = {round((float(at) - begin) / step): float(value) for at, value in one["values"]}
            # A gap is a gap, as in the panel: what is not there is not drawn.
            values = {(begin - end + at * step) / 60: known.get(at, math.nan) for at in range(POINTS + 1)}
            lines.append((legend_of(target["legendFormat"], one["metric"]), values))
    lines.sort(key=lambda line: -max(value for value in line[1].values() if value == value))
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    below: dict[float, float] = {}
    for number, (legend, values) in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        heights = {at: value + (below.get(at, 0.0) if stacked else 0.0) for at, value in values.items()}
        last = [value for value in values.values() if value == value][-1]
        if stacked:
            axes.fill_between(
                list(heights),
                [below.get(at, 0.0) for at in heights],
                list(heights.values()),
                color=colour,
                alpha=0.35,
            )
            below |= {at: height for at, height in heights.items() if height == height}
        shown = f"{legend}  {told(last, defaults['unit'])}" if number < 6 else None
        axes.plot(list(heights), list(heights.values()), color=colour, linewidth=1, label=shown)
    axes.set_xlim((begin - end) / 60, 0)
    drawn = [value for _, values in lines for value in values.values() if value == value]
    top = max([*below.values(), *drawn], default=0.0)
    # A third more than the highest: that is where the legend stands.
    axes.set_ylim(bottom=0, top=max(defaults.get("max", 0.0), top * 1.35) or 1.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: told(value, defaults["unit"])))
    axes.tick_params(labelsize=6)
    axes.grid(alpha=0.25)
    if lines:
        axes.legend(fontsize=5.5, loc="upper left", framealpha=0.7, ncols=2 if len(lines) > 3 else 1)
    else:
        axes.text(0.5, 0.5, "no data", ha="center", va="center", color="#999999", transform=axes.transAxes)


def main(url: str, minutes: float, file: str, end: float) -> None:
    """Ask, draw, write."""
    dashboard = json.loads(DASHBOARD.read_text())
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    figure = plt.figure(figsize=(24 * COLUMN, rows * ROW), dpi=90)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y, width, height = place["x"] / 24, place["y"] / rows, place["w"] / 24, place["h"] / rows
        if panel["type"] == "row":
            figure.text(0.008, 1 - y - height * 0.75, panel["title"], fontsize=12, weight="bold")
            continue
        inset, head = 0.034, 1.2 / rows
        axes = figure.add_axes(
            (x + inset, 1 - y - height + 0.8 / rows, width - inset - 0.006, height - head - 0.8 / rows)
        )
        axes.set_title(panel["title"], fontsize=8, loc="center" if panel["type"] == "stat" else "left")
        if panel["type"] == "stat":
            draw_stat(axes, panel, url, end)
        else:
            draw_lines(axes, panel, url, end - minutes * 60, end)
    figure.savefig(file)
    Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)  # a fifth of its size


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3], float(sys.argv[4]) if len(sys.argv) > 4 else time.time())
