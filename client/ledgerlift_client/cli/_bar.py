"""The progress bar: on stderr, where that is a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.text import Text

from ledgerlift_client import Progress
from ledgerlift_client.cli._report import human_size, safe

_NAME_WIDTH = 40


@contextmanager
def bar(name: str, *, shown: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar for one file; gives what the client's `progress` wants, None where no bar is to be seen."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    bars = Bars(
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[durable]}", markup=False),
        console=Console(stderr=True),
        redirect_stdout=False,
    )
    label = Text(safe(name))
    label.truncate(_NAME_WIDTH, overflow="ellipsis")
    with bars:
        task = bars.add_task("", total=None, name=label.plain, durable="")

        def update(now: Progress) -> None:
            bars.update(task, completed=now.position, total=now.total, durable=f"{human_size(now.durable)} durable")

        yield update
