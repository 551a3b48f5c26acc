"""Values as people read them, and as JSON knows them."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, TextIO

import click

from ledgerlift_client import errors

COLOUR_OF = {
    **dict.fromkeys(("HEALTHY", "COMPLETED", "COMMITTED", "CLOSED"), "green"),
    **dict.fromkeys(("DEGRADED", "PROCESSING", "RETRYING", "ACTIVE", "COMMITTING", "HALF_OPEN"), "yellow"),
    **dict.fromkeys(("UNHEALTHY", "FAILED", "OPEN"), "red"),
}
"""Of the states that things of this service have; the others have none."""


def coloured(stream: TextIO) -> bool:
    """Whether colours make sense there: a terminal that has them, of somebody who wants them (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str | None, *, err: bool = False) -> str:
    """`text` in that colour, where colours make sense."""
    return click.style(text, fg=colour) if colour and coloured(sys.stderr if err else sys.stdout) else text


def paint_state(state: str) -> str:
    """A state in its colour, for stdout."""
    return paint(state, COLOUR_OF.get(state))


def aligned(lines: Iterable[tuple[str, str]]) -> str:
    """A name and a value a line, the values below each other; without those that are empty."""
    kept = [(safe(name), value) for name, value in lines if value]
    width = max((len(name) for name, _ in kept), default=0)
    return "\n".join(f"{name:{width}}  {value}" for name, value in kept)


def sentence(error: BaseException) -> str:
    """What went wrong, for a person."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, errors.LedgerLiftError):
        said = safe(error.message).rstrip(".")
        if len(error.violations) > 1:
            said = "; ".join(safe(f"{v.field}: {v.description}") for v in error.violations)
        after = f"; try again in {error.retry_after:.0f} s" if (error.retry_after or 0) >= 1 else ""
        tried = f" after {error.attempts} attempts" if error.attempts > 1 else ""
        known = f" [request id {safe(error.request_id)}]" if error.request_id else ""
        return f"{said}{after} ({error.reason or _kind(error)}{tried}){known}"
    if isinstance(error, OSError) and error.strerror:
        return f"{safe(str(error.filename))}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, click.ClickException):
        return safe(error.format_message()).rstrip(".")
    return f"{type(error).__name__}: {safe(str(error))}"


def _kind(error: errors.LedgerLiftError) -> str:
    return error.code.name if error.code is not None else type(error).__name__


def as_plain(value: Any) -> Any:
    """`value` as JSON knows it: times in ISO 8601, durations in seconds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if isinstance(value, datetime):
        return when(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):  # names of files need not be Unicode, JSON has to be
        return value.encode(errors="replace").decode()
    return value


def when(moment: datetime) -> str:
    """A time in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(duration: timedelta) -> str:
    """`1.5 ms`, `12.0 s`, `3 h 25 min`, `2 d 4 h`."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    hours, days = minutes // 60, minutes // 1440
    large = ((days, "d"), (hours % 24, "h")) if days else ((hours, "h"), (minutes % 60, "min"))
    return " ".join(f"{number} {unit}" for number, unit in large if number)


def safe(text: str) -> str:
    """`text` without what could move a terminal's cursor or break a line: it came from somewhere else."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
