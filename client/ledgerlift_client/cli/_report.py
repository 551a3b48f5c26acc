"""What the command line says: results on stdout, everything else on stderr; text for people or JSON for programs.

With `--json` stdout has one object a line, and each failure is one object on stderr.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from datetime import datetime, timedelta
from typing import Any

import click

from ledgerlift_client import errors
from ledgerlift_client.cli import exit_codes


class Report:
    """Where a command's words go. `as_json` and `quiet` are the options of the same names."""

    def __init__(self) -> None:
        self.as_json = False
        self.quiet = False
        self.exit_code = exit_codes.OK

    def result(self, value: Any, text: str, **more: Any) -> None:
        """A result: `text` for people, `value` (a dataclass or a dict) and `more` for programs."""
        if self.as_json:
            plain = as_plain(value)
            click.echo(json.dumps({**plain, **as_plain(more)}, ensure_ascii=False))
        else:
            click.echo(text)

    def note(self, text: str) -> None:
        """Something worth knowing that is neither result nor failure."""
        if not self.quiet and not self.as_json:
            click.echo(text, err=True)

    def failure(self, error: BaseException, *, about: str = "", hint: str = "") -> None:
        """A failure: one sentence, with the request id where the server was asked. The first sets the exit code."""
        code = exit_codes.of(error)
        self.exit_code = self.exit_code or code
        if self.as_json:
            click.echo(json.dumps({"error": _error_facts(error, code, about, hint)}, ensure_ascii=False), err=True)
            return
        said = sentence(error)
        if about and not said.startswith(f"{about}: "):  # an OSError names its file itself
            said = f"{about}: {said}"
        click.echo(f"ledgerlift: {said}", err=True)
        if hint:
            click.echo(hint, err=True)
        if isinstance(error, errors.Unavailable) and not error.reason:  # no answer, or not from LedgerLift
            self.note("Is the server running? --target or LEDGERLIFT_TARGET says where it is.")


class RetryNotes(logging.Handler):
    """Shows what the client library logs: that it waits, for how long, and why."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """One line for people."""
        self._report.note(f"ledgerlift: {safe(record.getMessage())}")


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
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {safe(str(error))}"


def _kind(error: errors.LedgerLiftError) -> str:
    return error.code.name if error.code is not None else type(error).__name__


def _error_facts(error: BaseException, code: int, about: str, hint: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": type(error).__name__, "message": sentence(error), "exit_code": code}
    if about:
        facts["about"] = about
    if hint:
        facts["hint"] = hint
    if isinstance(error, errors.LedgerLiftError):
        facts |= {
            "message": error.message,
            "reason": error.reason,
            "code": error.code.name if error.code is not None else None,
            "request_id": error.request_id,
            "retryable": error.retryable,
            "retry_after": error.retry_after,
            "attempts": error.attempts,
            "metadata": error.metadata,
            "violations": [as_plain(v) for v in error.violations],
        }
    return facts


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
    return value


def when(moment: datetime) -> str:
    """A time in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def safe(text: str) -> str:
    """`text` without what could move a terminal's cursor or break a line: it came from somewhere else."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def human_size(size: float) -> str:
    """`1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
