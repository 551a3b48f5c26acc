"""Column types and expressions that mean the same in PostgreSQL and in SQLite.

Times are the database's clock: `TIMESTAMPTZ` in PostgreSQL, integer microseconds since 1970 in SQLite.
Text compares by code point in both (collation "C"), so that orders, ranges and page tokens agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, Text, literal
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LARGEST_INTEGER = 2**63 - 1

String = Text().with_variant(Text(collation="C"), "postgresql")
"""Text in code point order."""
Facts = JSON().with_variant(JSONB(), "postgresql")
"""A flat map of strings."""
Serial = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database hands out (SQLite does so for INTEGER only)."""


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The inverse of `to_microseconds`, in UTC."""
    return EPOCH + value * MICROSECOND


class Time(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """TIMESTAMPTZ where there is one."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """On the way in."""
        if value is None or dialect.name == "postgresql":
            return value
        return to_microseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """On the way out."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return from_microseconds(value)


# The classes below are lower case because they are used like functions, as those of `sqlalchemy.func`.


class _TimeExpression(FunctionElement[datetime]):
    """A clock plus seconds, which may be a column of the row at hand."""

    type = Time()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float] = 0.0) -> None:
        super().__init__(literal(seconds) if isinstance(seconds, (int, float)) else seconds)


class now(_TimeExpression):
    """The clock when this very row is written, after any wait for another's change of it, plus `seconds`."""

    inherit_cache = True


class as_of(_TimeExpression):
    """The clock when the statement began plus `seconds`: the same for all rows, so that indexes serve it."""

    inherit_cache = True


@compiles(now, "postgresql")
def _(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(as_of, "postgresql")
def _(element: as_of, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(statement_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


# SQLite tells milliseconds; `strftime` computes them in integers, where `julianday` would round.
_SQLITE_CLOCK = (
    "CAST(strftime('%s','now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f','now'), 4) AS INTEGER) * 1000"
)


@compiles(now, "sqlite")
@compiles(as_of, "sqlite")
def _(element: _TimeExpression, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"({_SQLITE_CLOCK} + CAST(({seconds}) * 1000000 AS INTEGER))"


class current_xid(FunctionElement[int]):
    """Number of the writing transaction; 0 in SQLite, where writers follow one another."""

    type = BigInteger()
    inherit_cache = True


class oldest_running_xid(FunctionElement[int]):
    """Every transaction below this number has ended, and what it wrote is visible to this statement."""

    type = BigInteger()
    inherit_cache = True


@compiles(current_xid, "postgresql")
def _(element: current_xid, compiler: SQLCompiler, **kw: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


@compiles(oldest_running_xid, "postgresql")
def _(element: oldest_running_xid, compiler: SQLCompiler, **kw: Any) -> str:
    return "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@compiles(current_xid, "sqlite")
def _(element: current_xid, compiler: SQLCompiler, **kw: Any) -> str:
    return "0"


@compiles(oldest_running_xid, "sqlite")
def _(element: oldest_running_xid, compiler: SQLCompiler, **kw: Any) -> str:
    return str(LARGEST_INTEGER)
