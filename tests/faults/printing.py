"""What a campaign says: on stdout what is to stay, on a terminal's last line how far it is."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(line: str) -> None:
    """One line."""
    print(line, flush=True)  # noqa: T201 - what the command is for


def progress(line: str) -> None:
    """Only where somebody looks on, and written over by the next line."""
    if sys.stderr.isatty():
        print(f"\r{line}\033[K", end="\r", file=sys.stderr, flush=True)  # noqa: T201


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
