"""What repositories work with: a `Database` runs their work, and a `Transaction` is what the work gets.

    Database.write(name, work) ─> Dependency.call ─> Runner: [BEGIN, work, COMMIT] again while it is worth it

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

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.sql.engine import DatabaseOptions, connections, make_engine, pool_status
from ledgerlift_server.adapters.sql.runner import Again, Runner
from ledgerlift_server.resilience.pool_use import PoolUse

__all__ = ["Again", "Database", "Transaction"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


Values = Mapping[str, Any]


class Transaction:
    """What `work` gets. Every method is one statement, with the values of its `bindparam`s and columns.

    A statement that is made once, as a constant, is compiled once and has its place in the cache: to make a statement
    and look it up took a third of the time of a short transaction (measured).
    """

    def __init__(self, connection: Connection) -> None:
        """The connection has begun a transaction."""
        self._connection = connection

    def first(self, statement: Executable, values: Values | None = None) -> RowMapping | None:
        """The first row, None without one."""
        return self._connection.execute(statement, values).mappings().first()

    def one(self, statement: Executable, values: Values | None = None) -> RowMapping:
        """The only row."""
        return self._connection.execute(statement, values).mappings().one()

    def all(self, statement: Executable, values: Values | None = None) -> Sequence[RowMapping]:
        """All rows."""
        return self._connection.execute(statement, values).mappings().all()

    def run(self, statement: Executable, values: Values | None = None) -> int:
        """Execute; how many rows were changed."""
        return self._connection.execute(statement, values).rowcount

    def insert_all(self, statement: Insert, rows: Sequence[Values]) -> None:
        """Insert all of `rows`, none of them where there are none."""
        if rows:
            self._connection.execute(statement, rows[0] if len(rows) == 1 else rows)

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
        self._engine, flavour = make_engine(url, self._options)
        self.dependency = dependency
        """What every call goes by."""
        limit = connections(url, self._options)
        self._runner = Runner(self._engine, flavour, self._options, connections=limit, sleep=sleep, jitter=jitter)
        self.retry_budget = self._runner.budget

    async def read(self, name: str, work: Callable[[Transaction], T]) -> T:
        """The result of `work`, which only reads, in one consistent state. `name` stands in the logs."""
        return await self.dependency.call(name, self._run, name, work, False)

    async def write(self, name: str, work: Callable[[Transaction], T], *, turn: str | None = None) -> T:
        """The result of `work`, durable. `name` stands in the logs.

        Transactions of one `turn` follow one another, and their `current_xid` rises in that order.

        Raises DependencyUnavailable (with `rerun`, where it is unknown whether a COMMIT took place), Overloaded,
        DeadlineExceeded (unknown as well), and what `work` raises, which undoes it.
        """
        return await self.dependency.call(name, self._run, name, work, True, turn)

    async def ping(self) -> None:
        """Ask the database, once, for the least there is: how it is now, not after a while. Raises as `read` does."""
        await self.dependency.call("ping", self._ping)

    async def look(self, name: str, work: Callable[[Transaction], T]) -> T:
        """As `read`, but once, like `ping`."""
        return await self.dependency.call(
            name, self._runner.try_once, name, lambda connection: work(Transaction(connection))
        )

    async def check(self) -> None:
        """As `ping`, whatever the breaker says: for the start, which waits for the database."""
        await self.dependency.check("ping", self._ping)

    def pool_status(self) -> PoolUse | None:
        """How its connections are used at this moment; None for SQLite."""
        return pool_status(self._engine, self._options)

    def close(self) -> None:
        """Close the connections that are not lent out."""
        self._engine.dispose()

    def _run(self, name: str, work: Callable[[Transaction], T], write: bool, turn: str | None = None) -> T:
        began = time.monotonic()
        try:
            return self._runner.run(name, lambda connection: work(Transaction(connection)), write=write, turn=turn)
        finally:
            seconds = time.monotonic() - began
            if seconds >= self._options.slow_transaction:
                logger.warning("slow_transaction", extra={"transaction": name, "seconds": round(seconds, 3)})

    def _ping(self) -> None:
        self._runner.try_once("ping", lambda connection: connection.execute(text("SELECT 1")))
