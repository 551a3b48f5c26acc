"""Rows as a table on a terminal, as tab-separated lines without a heading elsewhere, as JSON where asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from ledgerlift_client.cli._report import Report
from ledgerlift_client.cli._words import COLOUR_OF

_Row = TypeVar("_Row")
_BREAK_FROM = 24
"""Cells of a long column that keep other columns out; what is longer takes several lines."""
_GAP = 2


@dataclass(frozen=True)
class Table(Generic[_Row]):
    """What is told of each thing. `cells` is for scripts, `nice` replaces some of them on a terminal.

    `most_needed` says which columns go first where a terminal is narrow, and `always` which stay whatever
    happens: the others are left out, because half of an id is of no use to anybody. `long` may be broken.
    """

    columns: Sequence[str]
    most_needed: Sequence[str]
    always: Sequence[str]
    long: Sequence[str]
    right: Sequence[str]
    cells: Callable[[_Row], Sequence[str]]
    nice: Callable[[_Row], dict[str, str]]

    def show(self, report: Report, found: Iterator[_Row], limit: int) -> None:
        """Up to `limit` of them; that there are more is mentioned."""
        rows = islice(found, limit)
        if sys.stdout.isatty() and not report.as_json:
            self._draw(rows)
        else:
            for row in rows:
                report.result(row, "\t".join(self.cells(row)))
        if next(found, None) is not None:
            report.note(f"ledgerlift: there are more than {limit}; --limit shows more")

    def _draw(self, found: Iterable[_Row]) -> None:
        from rich import table
        from rich.console import Console
        from rich.text import Text

        console = Console()
        rows = [dict(zip(self.columns, self.cells(row), strict=True)) | self.nice(row) for row in found]
        columns = self._that_fit(rows, console.width)
        drawn = table.Table(box=None, header_style="bold", padding=(0, _GAP, 0, 0), pad_edge=False)
        for column in columns:
            right = "right" if column in self.right else "left"
            drawn.add_column(column, justify=right, no_wrap=column not in self.long, overflow="fold")  # type: ignore[arg-type]  # a literal of rich's
        for row in rows:
            drawn.add_row(*(Text(row[column], style=COLOUR_OF.get(row[column], "")) for column in columns))
        console.print(drawn)

    def _that_fit(self, rows: Sequence[dict[str, str]], width: int) -> list[str]:
        """The columns for a terminal of `width` cells."""
        from rich.cells import cell_len

        heading = {column: column for column in self.columns}
        needed = {column: max(cell_len(row[column]) for row in [*rows, heading]) for column in self.columns}
        needed |= {column: min(needed[column], _BREAK_FROM) for column in self.long}
        room = width + _GAP  # behind the last one there is no gap
        kept = set()
        for column in self.most_needed:
            if column in self.always or needed[column] + _GAP <= room:
                kept.add(column)
                room -= needed[column] + _GAP
        return [column for column in self.columns if column in kept]
