"""Looks at the ledger all the time, past the servers and past every fault on the way: what was durable stays durable.

A look is a snapshot of the database, so that two of them compare whatever was committed between them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.domain.upload_models import UploadState
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.faults.campaign.model import Model

INTERVAL = 0.15
"""Seconds between two looks."""
_LOOK = "SELECT upload_id, request_id, state, epoch, persisted_size, document_id FROM sessions"
_FOLLOWS = {
    UploadState.ACTIVE: set(UploadState),
    UploadState.COMMITTING: {UploadState.COMMITTING, UploadState.COMMITTED, UploadState.FAILED},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One session, as the ledger had it."""

    state: UploadState
    epoch: int
    persisted_size: int
    document_id: str | None


class Witness:
    """A thread of its own. `looks` counts those that the database answered."""

    def __init__(self, database_url: str, model: Model) -> None:
        self._url = database_url
        self._model = model
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._seen: dict[str, Seen] = {}
        self.looks = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """After one more look, which the database answers, if it is well."""
        self._over.set()
        self._thread.join(patience)

    def _run(self) -> None:
        engine = create_engine(normalise(self._url), poolclass=NullPool)
        over = False
        while not over:
            over = self._over.wait(INTERVAL)
            told = self._model.told_durable()  # before the look, which does not see what becomes durable behind it
            try:
                with engine.connect() as connection:
                    rows = [dict(row) for row in connection.execute(text(_LOOK)).mappings()]
            except DBAPIError:
                continue  # it is down, which is somebody's fault
            self.looks += 1
            self._compare(rows, told)
        engine.dispose()

    def _compare(self, rows: list[dict[str, Any]], told: dict[str, int]) -> None:
        now = {
            row["upload_id"]: Seen(UploadState(row["state"]), row["epoch"], row["persisted_size"], row["document_id"])
            for row in rows
        }
        for upload_id, before in self._seen.items():
            after = now.get(upload_id)
            if after is None:
                self._model.accuse(f"the ledger has forgotten {upload_id}, which was {before}")
                now[upload_id] = before
            elif not _may_follow(before, after):
                self._model.accuse(f"in the ledger, {upload_id} was {before}, and then {after}")
        for upload_id, size in told.items():
            if upload_id in now and now[upload_id].persisted_size < size:
                self._model.accuse(f"{size} bytes of {upload_id} were told durable, the ledger has {now[upload_id]}")
        self._seen = now


def _may_follow(before: Seen, after: Seen) -> bool:
    return (
        after.state in _FOLLOWS.get(before.state, {before.state})
        and after.epoch >= before.epoch
        and after.persisted_size >= before.persisted_size
        and before.document_id in (None, after.document_id)
    )
