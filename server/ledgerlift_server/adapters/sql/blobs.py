"""The count of documents on each stored object of an owner (DESIGN section 4 rule 8).

Who changes a blob, or decides by its documents, holds its row's lock first. Zero is final: the row goes
with its last document, and the object's removal is queued in the same transaction, so that nobody can
come to share an object that is about to be removed. Locks are taken in the order session, blob,
document.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select, update

from ledgerlift_server.adapters.sql.outbox import queue_removals
from ledgerlift_server.adapters.sql.tables import blobs
from ledgerlift_server.adapters.sql.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored object with at least one document."""

    owner: str
    sha256: str
    object_name: str
    size: int
    documents: int


_LOCK = (
    select(blobs)
    .where(blobs.c.owner == bindparam("of_owner"), blobs.c.sha256 == bindparam("of_sha256"))
    .with_for_update()
)
_ADD = insert(blobs)


def lock_blob(tx: Transaction, owner: str, sha256: str) -> Blob | None:
    """The blob, locked until the transaction's end. None: no document of the owner has these bytes."""
    row = tx.first(_LOCK, {"of_owner": owner, "of_sha256": sha256})
    return None if row is None else Blob(**row)


def add_blob(tx: Transaction, blob: Blob) -> None:
    """The first of its digest. When another transaction was faster, this one is run again."""
    tx.run(_ADD, asdict(blob))


def count_up(tx: Transaction, blob: Blob) -> None:
    """One document more on a locked blob."""
    tx.run(update(blobs).where(_is(blob.owner, blob.sha256)).values(documents=blobs.c.documents + 1))


def count_down(tx: Transaction, blob: Blob) -> None:
    """One document less on a locked blob; the last takes the blob and the object with it."""
    if blob.documents > 1:
        tx.run(update(blobs).where(_is(blob.owner, blob.sha256)).values(documents=blobs.c.documents - 1))
    else:
        tx.run(delete(blobs).where(_is(blob.owner, blob.sha256)))
        queue_removals(tx, [(blob.object_name, None)])


def _is(owner: str, sha256: str) -> ColumnElement[bool]:
    return and_(blobs.c.owner == owner, blobs.c.sha256 == sha256)
