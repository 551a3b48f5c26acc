"""The audit trail: appended to in the transaction of the change it tells of, and read in an order that holds.

An entry's position is `(era, xid, id)`. A plain serial number would not do: numbers are given out before
commits, so that a reader at 12 could never see an 11 that commits later. `xid` is the number of the
writing transaction, and who follows the trail is given only what lies below the oldest transaction
that still runs: nothing can appear there any more. In SQLite writers follow one another, `xid` is 0,
and `id` alone is the order. `era` counts the database clusters that the trail has lived in: a dump
restored elsewhere meets lower transaction numbers, so `migrate` begins a new era, and what was
written before it counts as ended.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, insert, or_, select

from ledgerlift_server.adapters.sql.paging import precedes
from ledgerlift_server.adapters.sql.tables import event_era, events
from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.adapters.sql.types import LARGEST_INTEGER, current_xid, now, oldest_running_xid
from ledgerlift_server.domain.models import Event, EventFilter, EventType, ProcessingStatus
from ledgerlift_server.errors import FieldViolation, InvalidRequest

Position = tuple[int, int, int]

BEGINNING: Position = (-1, 0, 0)

_CURRENT_ERA = select(event_era.c.era).scalar_subquery()
# Two columns more on every row that is read: they say whether its position is settled.
_COLUMNS = (events, oldest_running_xid().label("horizon"), _CURRENT_ERA.label("current_era"))
_APPEND = insert(events).values(era=_CURRENT_ERA, xid=current_xid(), create_time=now())
_APPEND_AND_READ = _APPEND.returning(events)
_POSITION = (events.c.era, events.c.xid, events.c.id)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An entry to append."""

    owner: str
    type: str
    actor: str
    request_id: str
    document_id: str | None = None
    upload_id: str | None = None
    from_status: ProcessingStatus | None = None
    to_status: ProcessingStatus | None = None
    detail: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None


def append_event(tx: Transaction, new: NewEvent, new_id: Callable[[], str]) -> Event:
    """Add an entry. A taken idempotency key makes the transaction run again."""
    row = tx.one(_APPEND_AND_READ, _values(new, new_id))
    return event_from(row, position_of(row))


def append_events(tx: Transaction, new: Sequence[NewEvent], new_id: Callable[[], str]) -> None:
    """Add entries, in order, in one statement."""
    tx.insert_all(_APPEND, [_values(one, new_id) for one in new])


def find_by_key(tx: Transaction, owner: str, idempotency_key: str) -> Event | None:
    """The entry that was recorded under the key."""
    if not idempotency_key:
        return None
    row = tx.first(select(events).where(events.c.owner == owner, events.c.idempotency_key == idempotency_key))
    return None if row is None else event_from(row, position_of(row))


def read_events(
    owner: str, where: EventFilter, after: Position | None, limit: int, *, settled: bool
) -> Select[tuple[object]]:
    """Entries after a position, oldest first. `settled`: only those that no earlier one can still precede."""
    statement = select(*_COLUMNS).where(events.c.owner == owner, precedes(after or BEGINNING, *_POSITION))
    if where.document_id is not None:
        statement = statement.where(events.c.document_id == where.document_id)
    if where.upload_id is not None:
        statement = statement.where(events.c.upload_id == where.upload_id)
    if settled:
        statement = statement.where(_settled())
    return statement.order_by(*_POSITION).limit(limit)


def was_deleted(tx: Transaction, owner: str, document_id: str) -> bool:
    """Whether the trail tells that the document was deleted."""
    statement = select(events.c.id).where(
        events.c.owner == owner,
        events.c.document_id == document_id,
        events.c.type == EventType.DOCUMENT_DELETED.value,
    )
    return tx.first(statement.limit(1)) is not None


def position_of(row: RowMapping) -> Position:
    """Where the entry stands."""
    return row["era"], row["xid"], row["id"]


def listed_event(row: RowMapping) -> Event:
    """The entry of a row of `read_events`, with a cursor from which nothing is missed.

    While an older transaction still runs, the cursor lies before the entry instead of on it: who goes on
    from there sees the entry again rather than never see the older one.
    """
    position = position_of(row)
    if row["era"] == row["current_era"] and row["xid"] >= row["horizon"]:
        position = (row["era"], row["horizon"] - 1, LARGEST_INTEGER)
    return event_from(row, position)


def event_from(row: RowMapping, position: Position) -> Event:
    """The entry of a whole row of `events`."""
    return Event(
        event_id=row["event_id"],
        owner=row["owner"],
        type=row["type"],
        actor=row["actor"],
        request_id=row["request_id"],
        create_time=row["create_time"],
        cursor=encode_cursor(position),
        document_id=row["document_id"],
        upload_id=row["upload_id"],
        from_status=_status(row["from_status"]),
        to_status=_status(row["to_status"]),
        detail=row["detail"],
    )


def encode_cursor(position: Position) -> str:
    """An opaque position. Good for every filter: it names a place in the owner's whole trail."""
    return base64.urlsafe_b64encode("/".join(map(str, position)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Position:
    """The inverse; the empty cursor is the beginning. Raises InvalidRequest."""
    if not cursor:
        return BEGINNING
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        era, xid, number = map(int, text.split(b"/"))
    except (ValueError, binascii.Error):
        raise InvalidRequest([FieldViolation("cursor", "is not a cursor of this service")]) from None
    if not (0 <= era < 2**31 and 0 <= xid <= LARGEST_INTEGER and 0 <= number <= LARGEST_INTEGER):
        raise InvalidRequest([FieldViolation("cursor", "is not a cursor of this service")])
    return era, xid, number


def _values(new: NewEvent, new_id: Callable[[], str]) -> dict[str, Any]:
    return {
        "event_id": new_id(),
        "owner": new.owner,
        "type": new.type,
        "actor": new.actor,
        "request_id": new.request_id,
        "document_id": new.document_id,
        "upload_id": new.upload_id,
        "from_status": new.from_status,
        "to_status": new.to_status,
        "detail": dict(new.detail),
        "idempotency_key": new.idempotency_key,
    }


def _settled() -> ColumnElement[bool]:
    return or_(
        events.c.era < _CURRENT_ERA,
        and_(events.c.era == _CURRENT_ERA, events.c.xid < oldest_running_xid()),
    )


def _status(value: str | None) -> ProcessingStatus | None:
    return None if value is None else ProcessingStatus(value)
