"""Statements on `sessions` and `parts`, and the compare-and-set that every write of a holder begins with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    RowMapping,
    Select,
    and_,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from ledgerlift_server.adapters.sql.events import NewEvent, append_events
from ledgerlift_server.adapters.sql.outbox import queue_removals
from ledgerlift_server.adapters.sql.paging import follows
from ledgerlift_server.adapters.sql.rows import part_values, session_from
from ledgerlift_server.adapters.sql.tables import LIVE, parts, sessions
from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.adapters.sql.types import now
from ledgerlift_server.domain.models import EventType
from ledgerlift_server.domain.session_rules import leftovers, refusal
from ledgerlift_server.domain.upload_models import StoredPart, UploadFilter, UploadSession, UploadState
from ledgerlift_server.errors import UploadNotFound

_OF_ID = select(sessions).where(sessions.c.upload_id == bindparam("id"))
_OF_OWNER = _OF_ID.where(sessions.c.owner == bindparam("of_owner"))
_LOCKED = _OF_ID.with_for_update()
_LIVE = select(sessions).where(
    sessions.c.owner == bindparam("of_owner"), sessions.c.request_id == bindparam("of_request"), text(LIVE)
)
_ADD_PARTS = insert(parts)


def find_session(tx: Transaction, upload_id: str, *, owner: str | None = None) -> RowMapping:
    """The row of a session. Raises UploadNotFound, for another owner's too."""
    row = tx.first(_OF_ID if owner is None else _OF_OWNER, {"id": upload_id, "of_owner": owner})
    if row is None:
        raise UploadNotFound(upload_id)
    return row


def lock_session(tx: Transaction, upload_id: str) -> RowMapping:
    """The same, locked until the transaction's end."""
    row = tx.first(_LOCKED, {"id": upload_id})
    if row is None:
        raise UploadNotFound(upload_id)
    return row


def find_live(tx: Transaction, owner: str, request_id: str) -> RowMapping | None:
    """The row of the one live session of a request id."""
    return tx.first(_LIVE, {"of_owner": owner, "of_request": request_id})


def list_sessions(
    owner: str, where: UploadFilter, after: tuple[datetime, str] | None, limit: int
) -> Select[tuple[object]]:
    """Newest first, behind the position `after`."""
    statement = select(sessions).where(sessions.c.owner == owner)
    if where.request_id is not None:
        statement = statement.where(sessions.c.request_id == where.request_id)
    if where.state is not None:
        statement = statement.where(sessions.c.state == where.state.value)
    if after is not None:
        statement = statement.where(follows(after, sessions.c.create_time, sessions.c.upload_id))
    return statement.order_by(sessions.c.create_time.desc(), sessions.c.upload_id.desc()).limit(limit)


def advancing(**expressions: Any) -> ReturningUpdate[Any]:
    """The compare-and-set of a holder, for `advance`. `expressions` are columns that the database computes."""
    return (
        update(sessions)
        .where(held(bindparam("id"), bindparam("held_epoch")), sessions.c.persisted_size == bindparam("before"))
        .values(update_time=now(), **expressions)
        .returning(sessions)
    )


def advance(
    tx: Transaction,
    statement: ReturningUpdate[Any],
    upload_id: str,
    epoch: int,
    before: int,
    after: int,
    **values: Any,
) -> RowMapping:
    """From `before` durable bytes to `after`, by a `statement` of `advancing`. The new row.

    Raises what refuses it: UploadSuperseded, the error of the state, UploadNotFound.
    """
    held_now = {"id": upload_id, "held_epoch": epoch, "before": before, "persisted_size": after}
    row = tx.first(statement, held_now | values)
    if row is None:
        raise refusal(session_from(find_session(tx, upload_id)), epoch)
    return row


def attach_multipart(tx: Transaction, upload_id: str, epoch: int, multipart_id: str) -> str:
    """Record the id unless there is one; the recorded one. Raises as `advance`."""
    row = tx.first(
        update(sessions)
        .where(held(upload_id, epoch))
        .values(
            multipart_id=func.coalesce(sessions.c.multipart_id, multipart_id),
            update_time=now(),
            expire_time=now(sessions.c.lifetime),
        )
        .returning(sessions.c.multipart_id)
    )
    if row is None:
        raise refusal(session_from(find_session(tx, upload_id)), epoch)
    return str(row["multipart_id"])


def add_parts(tx: Transaction, upload_id: str, last: int, added: Sequence[StoredPart]) -> None:
    """Write parts that end with number `last`. Raises ValueError when they are not contiguous."""
    numbers = [part.number for part in added]
    if numbers != list(range(last - len(added) + 1, last + 1)):
        raise ValueError(f"parts {numbers} do not follow the recorded ones up to {last - len(added)}")
    tx.insert_all(_ADD_PARTS, [part_values(upload_id, part) for part in added])


def end_sessions(
    tx: Transaction,
    found: ColumnElement[bool],
    state: UploadState,
    event: EventType,
    new_id: Callable[[], str],
    *,
    fence: bool = False,
    actor: str | None = None,
    request_id: str | None = None,
    **values: Any,
) -> list[UploadSession]:
    """The sessions that `found` matches to a final state without a document, with their events and removals.

    `fence` raises the epoch too. `actor` and `request_id` are the session's own unless given. Three
    statements, however many sessions.
    """
    epoch = sessions.c.epoch + 1 if fence else sessions.c.epoch
    rows = tx.all(
        update(sessions)
        .where(found)
        .values(state=state.value, epoch=epoch, update_time=now(), sha_state=None, **values)
        .returning(sessions)
    )
    append_events(tx, [_ending(row, event, actor, request_id) for row in rows], new_id)
    ended = [session_from(row) for row in rows]
    # A fence is an epoch that nobody has held, so that nobody wrote under its name.
    held_by = [replace(session, epoch=session.epoch - 1) if fence else session for session in ended]
    queue_removals(tx, [leftover for session in held_by for leftover in leftovers(session, None)])
    return ended


def end_session(
    tx: Transaction,
    found: ColumnElement[bool],
    state: UploadState,
    event: EventType,
    new_id: Callable[[], str],
    **more: Any,
) -> UploadSession | None:
    """`end_sessions` where `found` matches one at most; None: it matches none."""
    ended = end_sessions(tx, found, state, event, new_id, **more)
    return ended[0] if ended else None


def _ending(row: RowMapping, event: EventType, actor: str | None, request_id: str | None) -> NewEvent:
    detail = {"persisted_size": str(row["persisted_size"])}
    if row["error_reason"]:
        detail |= {"reason": row["error_reason"], "message": row["error_message"]}
    return NewEvent(
        owner=row["owner"],
        type=event,
        actor=row["owner"] if actor is None else actor,
        request_id=row["opened_by"] if request_id is None else request_id,
        upload_id=row["upload_id"],
        detail=detail,
    )


def held(upload_id: str | BindParameter[str], epoch: int | BindParameter[int]) -> ColumnElement[bool]:
    """The session, while the holder of `epoch` may write to it."""
    return and_(
        sessions.c.upload_id == upload_id,
        sessions.c.epoch == epoch,
        sessions.c.state == UploadState.ACTIVE.value,
    )
