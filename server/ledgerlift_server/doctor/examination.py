"""Runs all checks at once, each on a thread that nobody waits for longer than the time limit.

Not `asyncio.to_thread` and no executor: their threads are joined at the end of the process, and one that hangs in a
driver, a resolver or a dead network file system would hold it up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ledgerlift_server.doctor.findings import Finding, State

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `look` may block, and raises nothing that it expects."""

    what: str
    """The row that stands for it where it does not come back."""
    look: Callable[[], Iterable[Finding]]
    advice: str
    """What to do where it does not come back."""


@dataclass(slots=True)
class _Run:
    check: Check
    found: list[Finding] = field(default_factory=list)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._look, name=f"doctor-{self.check.what}", daemon=True)
        self.thread.start()

    def _look(self) -> None:
        try:
            self.found = list(self.check.look())
        except Exception as error:
            # Its text is not shown: nobody has looked at what it may hold.
            logger.debug("check_failed", exc_info=True)
            broken = f"the check itself failed with {type(error).__name__}"
            self.found = [
                Finding(self.check.what, State.FAIL, broken, "report this as a defect of ledgerlift-server")
            ]


def examine(checks: Sequence[Check], *, limit: float) -> list[Finding]:
    """What all checks found, in their order, after `limit` seconds at the most."""
    give_up_at = time.monotonic() + limit
    runs = [_Run(check) for check in checks]
    for run in runs:
        run.start()
    findings: list[Finding] = []
    for run in runs:
        assert run.thread is not None
        run.thread.join(max(0.0, give_up_at - time.monotonic()))
        findings += _overdue(run.check, limit) if run.thread.is_alive() else run.found
    return findings


def _overdue(check: Check, limit: float) -> list[Finding]:
    return [Finding(check.what, State.FAIL, f"no answer within {limit:g} s", check.advice)]
