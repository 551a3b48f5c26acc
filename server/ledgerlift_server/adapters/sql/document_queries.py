"""Queries over documents. Each is served by an index of `tables.py`, whatever the number of documents."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select

from ledgerlift_server.adapters.sql.paging import follows
from ledgerlift_server.adapters.sql.tables import blobs, documents
from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.domain.models import Count, DocumentFilter, DocumentStats, ProcessingStatus

MAX_CONTENT_TYPES = 50
"""Of the statistics; the most frequent ones."""

_d = documents.c


def list_documents(
    owner: str, where: DocumentFilter, after: tuple[datetime, str] | None, limit: int
) -> Select[tuple[object]]:
    """Newest first, behind the position `after`."""
    statement = select(documents).where(_d.owner == owner, *_conditions(where))
    if after is not None:
        statement = statement.where(follows(after, _d.create_time, _d.document_id))
    return statement.order_by(_d.create_time.desc(), _d.document_id.desc()).limit(limit)


def oldest_of_digests(owner: str, digests: Collection[str]) -> Select[tuple[object]]:
    """For each digest that there is: one look into an index, however many documents share it."""
    oldest = (
        select(_d.document_id)
        .where(_d.owner == blobs.c.owner, _d.sha256 == blobs.c.sha256)
        .order_by(_d.create_time, _d.document_id)
        .limit(1)
        .scalar_subquery()
    )
    return select(blobs.c.sha256, blobs.c.size, oldest.label("document_id")).where(
        blobs.c.owner == owner, blobs.c.sha256.in_(list(digests))
    )


def document_stats(tx: Transaction, owner: str) -> DocumentStats:
    """Counts over all of an owner's documents, and over what is really stored."""
    groups = tx.all(
        select(
            _d.status,
            _d.content_type,
            func.count().label("documents"),
            func.sum(_d.size).label("size"),
        )
        .where(_d.owner == owner)
        .group_by(_d.status, _d.content_type)
    )
    stored = tx.one(
        select(func.count().label("objects"), func.coalesce(func.sum(blobs.c.size), 0).label("size")).where(
            blobs.c.owner == owner
        )
    )
    by_status: dict[ProcessingStatus, Count] = {}
    by_content_type: dict[str, Count] = {}
    total = Count(0, 0)
    for group in groups:
        count = Count(group["documents"], int(group["size"]))
        status = ProcessingStatus(group["status"])
        by_status[status] = _sum(by_status.get(status), count)
        by_content_type[group["content_type"]] = _sum(by_content_type.get(group["content_type"]), count)
        total = _sum(total, count)
    most_first = sorted(by_content_type.items(), key=lambda item: (-item[1].documents, item[0]))
    return DocumentStats(
        total=total,
        objects=stored["objects"],
        stored_size=int(stored["size"]),
        by_status=by_status,
        by_content_type=tuple(most_first[:MAX_CONTENT_TYPES]),
    )


def after_prefix(prefix: str) -> str | None:
    """The least string, by code point, above everything that begins with `prefix`. None: there is none."""
    for length in range(len(prefix), 0, -1):
        last = ord(prefix[length - 1])
        if last < 0x10FFFF:
            following = 0xE000 if last == 0xD7FF else last + 1  # surrogates are no characters
            return prefix[: length - 1] + chr(following)
    return None


def _conditions(where: DocumentFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if where.status is not None:
        found.append(_d.status == where.status.value)
    if where.content_type is not None:
        found.append(_d.content_type == where.content_type)
    if where.key_prefix:
        found.append(_d.key >= where.key_prefix)
        end = after_prefix(where.key_prefix)
        if end is not None:
            found.append(_d.key < end)
    if where.created_after is not None:
        found.append(_d.create_time >= where.created_after)
    if where.created_before is not None:
        found.append(_d.create_time < where.created_before)
    return found


def _sum(first: Count | None, second: Count) -> Count:
    if first is None:
        return second
    return Count(first.documents + second.documents, first.total_size + second.total_size)
