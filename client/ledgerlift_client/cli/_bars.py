"""Progress bars, one for each transfer that runs: on stderr, where that is a terminal; nothing elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ledgerlift_client import Progress
from ledgerlift_client.cli._report import Report
from ledgerlift_client.cli._words import safe
from ledgerlift_client.helpers import human_size

if TYPE_CHECKING:  # rich takes longer to import than most commands take to run
    from rich.progress import Progress as RichBars

_NAME_WIDTH = 40


class Bar:
    """One transfer's bar; without `bars`, nothing to be seen."""

    def __init__(self, bars: RichBars | None, name: str, over: Callable[[], None]) -> None:
        self._bars = bars
        self._over = over
        self._task = bars.add_task("", total=None, name=_label(name), said="") if bars is not None else None

    def update(self, now: Progress) -> None:
        """Show where it stands."""
        if self._bars is None or self._task is None:
            return
        moved = f"{human_size(now.position)}{f' of {human_size(now.total)}' if now.total is not None else ''}"
        left = f", {now.remaining:.0f} s left" if now.remaining is not None and now.position != now.total else ""
        said = f"{moved}, {human_size(now.durable)} durable, {human_size(now.rate)}/s{left}"
        self._bars.update(self._task, completed=now.position, total=now.total, said=said)

    def end(self, *, gone: bool, counts: bool = True) -> None:
        """The transfer is over; `gone`: so is its bar; `counts`: it was not cancelled."""
        if self._bars is not None and self._task is not None and gone:
            self._bars.remove_task(self._task)
        if counts:
            self._over()


class Bars:
    """Bars for `count` transfers, and of several a line that counts them."""

    def __init__(self, bars: RichBars | None, count: int) -> None:
        self._bars = bars
        self._count, self._done = count, 0
        several = bars is not None and count > 1
        self._all = bars.add_task("", total=count, name="", said="") if bars is not None and several else None
        self._tell_all()

    def begin(self, name: str) -> Bar:
        """A bar for a transfer that begins."""
        return Bar(self._bars, name, self._ended)

    @contextmanager
    def one(self, name: str) -> Iterator[Callable[[Progress], None] | None]:
        """The bar of the only transfer: its callback, None where there is nothing to be seen."""
        bar = self.begin(name)
        yield bar.update if self._bars is not None else None
        bar.end(gone=False)

    def _ended(self) -> None:
        self._done += 1
        self._tell_all()

    def _tell_all(self) -> None:
        if self._bars is not None and self._all is not None:
            self._bars.update(self._all, completed=self._done, said=f"{self._done} of {self._count} files")


@contextmanager
def shown(report: Report, count: int) -> Iterator[Bars]:
    """Bars on the terminal while the block runs; what `report` says meanwhile stands above them."""
    if report.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield Bars(None, count)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichBars
    from rich.text import Text

    console = Console(stderr=True)
    bars = RichBars(
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[said]}", markup=False),
        console=console,
        redirect_stdout=False,
        redirect_stderr=False,
        transient=count > 1,
    )

    def above(text: str) -> None:
        console.print(Text.from_ansi(text), soft_wrap=True)

    with bars, report.above(above):
        yield Bars(bars, count)


def _label(name: str) -> str:
    from rich.text import Text

    label = Text(safe(name))
    label.truncate(_NAME_WIDTH, overflow="ellipsis")
    return label.plain
