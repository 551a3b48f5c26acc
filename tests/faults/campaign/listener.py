"""Follows the audit trail while it is written, over every fault: what it hears is the trail, entry by entry."""

from __future__ import annotations

import threading

from ledgerlift_client import ClientOptions, LedgerLiftClient, LedgerLiftError

from tests.faults.campaign.model import Model
from tests.faults.table.installation import RECOVERY_TIMEOUT

TURN = 3.0
"""Seconds of one WatchEvents; then the next one goes on behind the last entry."""


class Listener:
    """A thread of its own. `heard` are the ids of the entries, in the order in which they came."""

    def __init__(self, target: str, model: Model) -> None:
        self._target = target
        self._model = model
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self.heard: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """After one more turn, which hears all that there is, if all is well."""
        self._over.set()
        self._thread.join(patience)

    def _run(self) -> None:
        cursor = ""
        over = False
        with LedgerLiftClient(
            self._target, options=ClientOptions(breaker_recovery=float(RECOVERY_TIMEOUT))
        ) as client:
            while not over:
                over = self._over.is_set()
                try:
                    for event in client.watch_events(cursor=cursor, timeout=TURN):
                        self.heard.append(event.event_id)
                        cursor = event.cursor
                except LedgerLiftError as error:
                    if not error.retryable and error.code is not None and error.code.name in ("INTERNAL", "UNKNOWN"):
                        self._model.accuse(f"listener: told {error!r}")
                if not over:
                    self._over.wait(0.2)  # before asking again; an open breaker answers at once
