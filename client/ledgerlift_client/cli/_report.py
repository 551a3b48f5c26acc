"""What the command line says: results on stdout, everything else on stderr; text for people or JSON for programs.

With `--json` stdout has one object a line, and each failure is one object on stderr.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from ledgerlift_client import errors
from ledgerlift_client._breaker import CLIENT_CIRCUIT_OPEN
from ledgerlift_client._connection_words import HUNG_UP, NO_TLS, OTHER_NAME, UNTRUSTED
from ledgerlift_client.cli import exit_codes
from ledgerlift_client.cli._words import as_plain, paint, safe, sentence

_NOBODY_ANSWERED = ("", CLIENT_CIRCUIT_OPEN)
"""Reasons of failures that no LedgerLift has anything to do with."""
_ADVICE = {
    UNTRUSTED: "--ca or LEDGERLIFT_CA names a file with the authority to trust, in place of the system's.",
    OTHER_NAME: "--target or LEDGERLIFT_TARGET has to be a name that the certificate is for.",
    NO_TLS: "Without --tls, --ca, --cert, --key and their variables the connection is in the clear.",
}
"""By what the library says of a connection that did not come about."""


class Report:
    """Where a command's words go, from whichever thread. `as_json` and `quiet` are the options of the same names.

    `encrypted`: TLS was asked for.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.quiet = False
        self.encrypted = False
        self.exit_code = exit_codes.OK
        self._wondered = False
        self._lock = threading.Lock()
        self._above: Callable[[str], None] | None = None

    def result(self, value: Any, text: str, **more: Any) -> None:
        """A result: `text` for people, `value` (a dataclass or a dict) and `more` for programs."""
        self._say(self._json({**as_plain(value), **as_plain(more)}) if self.as_json else text)

    def note(self, text: str) -> None:
        """Something worth knowing that is neither result nor failure."""
        if not self.quiet and not self.as_json:
            self._say(text, err=True)

    def failure(self, error: BaseException, *, about: str = "", hint: str = "") -> None:
        """A failure: one sentence, with the request id where the server was asked.

        The first sets the exit code, but for an interruption, which always does.
        """
        code = error.exit_code if isinstance(error, click.ClickException) else exit_codes.of(error)
        self.exit_code = code if code == exit_codes.INTERRUPTED else self.exit_code or code
        if self.as_json:
            self._say(self._json({"error": _error_facts(error, code, about, hint)}), err=True)
            return
        said = sentence(error)
        if about and not said.startswith(f"{about}: "):  # an OSError names its file itself
            said = f"{about}: {said}"
        self._say(f"{paint('ledgerlift:', 'red', err=True)} {said}", err=True)
        if hint:
            self._say(hint, err=True)
        if isinstance(error, errors.Unavailable) and error.reason in _NOBODY_ANSWERED and not self._wondered:
            self._wondered = True
            self.note(self._advice(error.message))

    def _advice(self, said: str) -> str:
        for cause, advice in _ADVICE.items():
            if cause in said:
                return advice
        if HUNG_UP in said:
            if self.encrypted:
                return "Does the server want a client certificate that it knows? --cert and --key name the files."
            return "Does the server speak TLS? --tls, or --ca with a file of the authority to trust, asks for it."
        return "Is the server running? --target or LEDGERLIFT_TARGET says where it is."

    @contextmanager
    def above(self, say: Callable[[str], None]) -> Iterator[None]:
        """Within the block, what goes to a terminal is said by `say`, which writes it above the bars there."""
        self._above = say
        try:
            yield
        finally:
            self._above = None

    def _say(self, text: str, *, err: bool = False) -> None:
        with self._lock:
            if self._above is not None and (sys.stderr if err else sys.stdout).isatty():
                self._above(text)
            else:
                click.echo(text, err=err)

    def _json(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)


class RetryNotes(logging.Handler):
    """Shows what the client library logs: that it waits, for how long, and why."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """One line for people."""
        self._report.note(f"ledgerlift: {safe(record.getMessage())}")


def _error_facts(error: BaseException, code: int, about: str, hint: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"type": type(error).__name__, "message": as_plain(sentence(error)), "exit_code": code}
    if about:
        facts["about"] = as_plain(about)
    if hint:
        facts["hint"] = as_plain(hint)
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
