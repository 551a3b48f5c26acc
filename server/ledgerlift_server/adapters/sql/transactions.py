"""Run a transaction: the one place that opens connections, and the one that knows the driver's exceptions.

    Database.write(name, work) ─> Dependency.call ─> [BEGIN, work, COMMIT] again while it is worth it

`work` is a plain function over a `Transaction`. It may be run several times, so it has no effects but
those in the database, and it does not catch the database's errors. To refuse and still commit, it
returns the refusal, and its caller raises it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Insert, RowMapping, Table, text
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.sql.engine import DatabaseOptions, PoolStatus, make_engine, pool_status
from ledgerlift_server.adapters.sql.flavour import Failure
from ledgerlift_server.errors import (
    DeadlineExceeded,
    DependencyUnavailable,
    FieldViolation,
    InvalidRequest,
    Overloaded,
    TryLater,
)
from ledgerlift_server.resilience.deadline import time_left

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ATTEMPTS = 10
"""Of one transaction, when each of them lost against another."""
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5
"""Seconds; the pause before attempt n + 1 is random between 0 and `FIRST_PAUSE * 2 ** n`."""
DEADLINE_TOLERANCE = 0.01
"""Seconds by which a timeout that was set from the deadline may come before it."""


class Again(Exception):
    """Raised by `work`: what it read does not fit together (any more); run it again."""


class Transaction:
    """What `work` gets. Every method is one statement."""

    def __init__(self, connection: Connection) -> None:
        """The connection has begun a transaction."""
        self._connection = connection

    def first(self, statement: Executable) -> RowMapping | None:
        """The first row, None without one."""
        return self._connection.execute(statement).mappings().first()

    def one(self, statement: Executable) -> RowMapping:
        """The only row."""
        return self._connection.execute(statement).mappings().one()

    def all(self, statement: Executable) -> Sequence[RowMapping]:
        """All rows."""
        return self._connection.execute(statement).mappings().all()

    def run(self, statement: Executable) -> int:
        """Execute; how many rows were changed."""
        return self._connection.execute(statement).rowcount

    def insert_all(self, statement: Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert all of `rows`, none of them where there are none."""
        if rows:
            self._connection.execute(statement, rows)

    def upsert(self, table: Table) -> postgresql_dialect.Insert:
        """An INSERT that knows ON CONFLICT; both databases spell it alike."""
        if self._connection.dialect.name == "postgresql":
            return postgresql_dialect.insert(table)
        return sqlite_dialect.insert(table)  # type: ignore[return-value]  # the same methods, no common base


class Database:
    """A pool of connections behind the `database` dependency. All repositories share one."""

    def __init__(
        self,
        url: str,
        dependency: Dependency,
        options: DatabaseOptions | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Nothing is connected yet. `jitter` is in [0, 1). Raises ValueError for a bad URL."""
        self._options = options or DatabaseOptions()
        self._engine, self._flavour = make_engine(url, self._options)
        self.dependency = dependency
        """What every call goes by."""
        self._sleep = sleep
        self._jitter = jitter

    async def read(self, name: str, work: Callable[[Transaction], T]) -> T:
        """The result of `work`, which only reads, in one consistent state. `name` stands in the logs."""
        return await self.dependency.call(name, self._run, name, work, False)

    async def write(self, name: str, work: Callable[[Transaction], T]) -> T:
        """The result of `work`, durable. `name` stands in the logs.

        Raises DependencyUnavailable (after a lost COMMIT the outcome is unknown), Overloaded,
        DeadlineExceeded, and what `work` raises, which undoes it.
        """
        return await self.dependency.call(name, self._run, name, work, True)

    async def ping(self) -> None:
        """Ask the database for the least there is. Raises as `read` does."""
        await self.read("ping", lambda tx: tx.one(text("SELECT 1 AS one")))

    async def check(self) -> None:
        """As `ping`, whatever the breaker says: for the start, which waits for the database."""
        await self.dependency.check("ping", self._run, "ping", lambda tx: tx.one(text("SELECT 1 AS one")), False)

    def pool_status(self) -> PoolStatus | None:
        """How its connections are used at this moment; None for SQLite."""
        return pool_status(self._engine, self._options)

    def close(self) -> None:
        """Close the connections that are not lent out."""
        self._engine.dispose()

    def _run(self, name: str, work: Callable[[Transaction], T], write: bool) -> T:
        began = time.monotonic()
        try:
            return self._until_it_holds(name, work, write)
        finally:
            seconds = time.monotonic() - began
            if seconds >= self._options.slow_transaction:
                logger.warning("slow_transaction", extra={"transaction": name, "seconds": round(seconds, 3)})

    def _until_it_holds(self, name: str, work: Callable[[Transaction], T], write: bool) -> T:
        ceiling = FIRST_PAUSE
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._once(name, work, write)
            except Again as lost:
                pause = ceiling * self._jitter()
                if attempt == MAX_ATTEMPTS or pause >= time_left(self._options.statement_timeout):
                    logger.warning("transaction_kept_losing", extra={"transaction": name, "attempts": attempt})
                    raise Overloaded("too many writers want the same rows") from lost
            self._sleep(pause)
            ceiling = min(ceiling * 2, LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _once(self, name: str, work: Callable[[Transaction], T], write: bool) -> T:
        limit = time_left(self._options.statement_timeout)
        if limit <= 0:
            raise DeadlineExceeded("the deadline passed before the database was asked")
        try:
            with self._flavour.attempt(write=write, limit=limit), self._engine.connect() as connection:
                return self._in_transaction(connection, work, write, limit)
        except DBAPIError as error:
            raise self._meaning(name, error) from error
        except PoolTimeout as error:
            raise Overloaded("the database has no connection free") from error
        except TimeoutError as error:
            raise _too_slow(Overloaded("too many writers want their turn")) from error
        except ValueError as error:
            if "NUL" in str(error):  # psycopg2 refuses it itself, before anything is sent
                raise _refused_text() from error
            raise

    def _in_transaction(
        self, connection: Connection, work: Callable[[Transaction], T], write: bool, limit: float
    ) -> T:
        try:
            self._flavour.begin(connection, write=write, limit=limit)
            result = work(Transaction(connection))
            self._flavour.commit(connection)
        except BaseException:
            _undo(connection)
            raise
        return result

    def _meaning(self, name: str, error: DBAPIError) -> Exception:
        match self._flavour.classify(error):
            case Failure.AGAIN:
                return Again()
            case Failure.TIMEOUT:
                return _too_slow(DependencyUnavailable("the database did not answer in its own time"))
            case Failure.REFUSED_TEXT:
                return _refused_text()
            case Failure.UNAVAILABLE:
                logger.warning("database_failed", extra={"transaction": name, "cause": str(error.orig).strip()})
                return DependencyUnavailable("the database cannot be asked")
            case Failure.DEFECT:
                return error


def _undo(connection: Connection) -> None:
    """Roll back; a connection on which that fails is not used again."""
    if connection.invalidated:
        return
    try:
        connection.exec_driver_sql("ROLLBACK")
    except Exception:
        connection.invalidate()


def _too_slow(otherwise: TryLater) -> TryLater | DeadlineExceeded:
    if time_left(1.0) < DEADLINE_TOLERANCE:
        return DeadlineExceeded("the database did not answer before the deadline")
    return otherwise


def _refused_text() -> InvalidRequest:
    return InvalidRequest([FieldViolation("", "must not contain the character NUL")])
