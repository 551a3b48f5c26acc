"""Page tokens: opaque positions in a list, good only for the list and the filters they were made for.

A token is no secret and grants nothing: every query names its owner. It is bound to its filters so that a client
that changes them in the middle is told so, instead of getting a list with holes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Executable, RowMapping, literal, tuple_

from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.adapters.sql.types import LARGEST_INTEGER, from_microseconds
from ledgerlift_server.domain.models import Page
from ledgerlift_server.errors import FieldViolation, InvalidRequest

P = TypeVar("P")
T = TypeVar("T")

FINGERPRINT_LENGTH = 12
PAGE_BYTES = 2 * 1024 * 1024
"""Of a page, where nothing else is said: half of what a gRPC client takes by default."""
ROW_BYTES = 1024
"""Of a row on the wire without its long texts, at most: ids, times, a digest, a media type, a request id."""
BATCH_ROWS = 32
"""Rows that are read at a time. One with all the metadata that it may have takes 1.3 MB of memory (measured): five
pages of 1,000, each read at once, took 2.7 GB to be cut to 2 MiB of it."""
ENTRY_BYTES = 12
"""What protobuf adds to an entry of a map, at most."""


class PageTokens(Generic[P]):
    """Tokens of one list: `name` and `scope` (owner, filters) tell it from every other."""

    def __init__(self, read: Callable[[Any], P], name: str, *scope: object) -> None:
        """`read` makes a position of the JSON values given to `encode`, and raises ValueError for any others."""
        self._read = read
        self._fingerprint = hashlib.sha256(repr((name, scope)).encode()).hexdigest()[:FINGERPRINT_LENGTH]

    def encode(self, *position: int | str) -> str:
        """The token of a position."""
        text = json.dumps([self._fingerprint, *position], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def decode(self, token: str) -> P | None:
        """The position of a token; None of the empty one. Raises InvalidRequest for any but this list's."""
        if not token:
            return None
        try:
            padded = token + "=" * (-len(token) % 4)
            fingerprint, *values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if fingerprint != self._fingerprint:
                raise _invalid("belongs to another list or to other filters")
            return self._read(values)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _invalid("is not a token of this service") from None


def precedes(position: Sequence[object], *columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Rows behind a position in ascending order: one comparison of rows, which an index serves as it is."""
    return tuple_(*_typed(position, columns)) < tuple_(*columns)


def follows(position: Sequence[object], *columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Rows behind a position in descending order."""
    return tuple_(*_typed(position, columns)) > tuple_(*columns)


def time_and_id(values: Any) -> tuple[datetime, str]:
    """A position in a list ordered by time: microseconds and an id."""
    microseconds, identity = values
    if not isinstance(identity, str) or not identity.isprintable():
        raise ValueError
    return from_microseconds(microseconds), identity


def three_numbers(values: Any) -> tuple[int, int, int]:
    """A position in the audit trail."""
    first, second, third = values
    if not all(type(number) is int and 0 <= number <= LARGEST_INTEGER for number in values):
        raise ValueError
    return first, second, third


def read_page(
    tx: Transaction,
    query: Callable[[P | None, int], Executable],
    after: P | None,
    page_size: int,
    model: Callable[[RowMapping], T],
    position: Callable[[RowMapping], P],
    token: Callable[[RowMapping], str],
    *,
    texts: Sequence[str],
    page_bytes: int,
) -> Page[T]:
    """The page behind `after`. `query` makes the statement of the rows behind a position, with their limit.

    One row more than a page has is asked for: it tells that there is a next page. A page has fewer rows than
    `page_size` where more would not fit into one message: about `page_bytes`, and one row in any case.
    `texts` are the columns whose values may be long, texts or maps of texts.
    """
    shown: list[RowMapping] = []
    left = page_bytes
    for row in _in_batches(tx, query, after, page_size + 1, position):
        left -= ROW_BYTES + sum(_bytes_of(row[name]) for name in texts)
        if len(shown) == page_size or (left < 0 and shown):
            return Page(tuple(map(model, shown)), token(shown[-1]))
        shown.append(row)
    return Page(tuple(map(model, shown)), "")


def _in_batches(
    tx: Transaction,
    query: Callable[[P | None, int], Executable],
    after: P | None,
    most: int,
    position: Callable[[RowMapping], P],
) -> Iterator[RowMapping]:
    """Up to `most` rows. The next batch is read when the one before has been used up."""
    while most > 0:
        asked = min(most, BATCH_ROWS)
        rows = tx.all(query(after, asked))
        yield from rows
        if len(rows) < asked:
            return
        after, most = position(rows[-1]), most - asked


def _bytes_of(value: str | Mapping[str, str] | None) -> int:
    """On the wire, as UTF-8."""
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return sum(_bytes_of(name) + _bytes_of(text) + ENTRY_BYTES for name, text in value.items())


def _typed(position: Sequence[object], columns: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    # Inside a tuple a bare value would not get its column's type.
    return [literal(value, column.type) for value, column in zip(position, columns, strict=True)]


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest([FieldViolation("page_token", why)])
