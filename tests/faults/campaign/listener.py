"""Follows the audit trail while it is written, over every fault: what it hears is the trail, entry by entry."""

from __future__ import annotations

import threading

from ledgerlift_client import ClientOptions, LedgerLiftClient, LedgerLiftError

from tests.faults.campaign.model import Model
from tests.faults.table.installation import RECOVERY_TIMEOUT

TURN = 3.0
"""Seconds of one WatchEvents; then the next one goes on behind the last entry."""
LAST_TURNS = 5
"""Tries, when all is over, to hear the rest: a busy machine may need more than a turn to begin to answer."""


class Listener:
    """A thread of its own. `heard` are the ids of the entries, in the order in which they came."""

    def __init__(self, target: str, model: Model) -> None:
        self._target = target
        self._model = model
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._cursor = ""
        self.heard: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """After one more turn that hears what there is, if all is well."""
        self._over.set()
        self._thread.join(patience)

    def _run(self) -> None:
        last_turns = 0
        with LedgerLiftClient(
            self._target, options=ClientOptions(breaker_recovery=float(RECOVERY_TIMEOUT))
        ) as client:
            while True:
                over = self._over.is_set()
                fine = self._turn(client)
                last_turns += over
                if over and ((fine and self.heard) or last_turns == LAST_TURNS):
                    return
                self._over.wait(0.2)  # before asking again; an open breaker answers at once

    def _turn(self, client: LedgerLiftClient) -> bool:
        """Whether it came to its end."""
        try:
            for event in client.watch_events(cursor=self._cursor, timeout=TURN):
                self.heard.append(event.event_id)
                self._cursor = event.cursor
        except LedgerLiftError as error:
            if not error.retryable and error.code is not None and error.code.name in ("INTERNAL", "UNKNOWN"):
                self._model.accuse(f"listener: told {error!r}")
            return False
        return True
