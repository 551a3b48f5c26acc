"""The outbox: removals from the object store, queued in the transaction that makes them right."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import insert

from ledgerlift_server.adapters.sql.tables import removals
from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.adapters.sql.types import now

_QUEUE = insert(removals).values(attempts=0, due_time=now())


def queue_removals(tx: Transaction, leftovers: Iterable[tuple[str, str | None]]) -> None:
    """Queue `(object_name, multipart_id)` of each, due at once."""
    tx.insert_all(
        _QUEUE,
        [{"object_name": name, "multipart_id": multipart_id} for name, multipart_id in leftovers],
    )
