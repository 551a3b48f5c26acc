"""From a URL to an engine.

Its connections are in the driver's autocommit mode: `transactions.py` says BEGIN and COMMIT.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import URL, Engine, QueuePool, make_url

from ledgerlift_server.adapters.sql import postgresql, sqlite
from ledgerlift_server.adapters.sql.flavour import Flavour
from ledgerlift_server.resilience.pool_use import PoolUse

SQLITE_CONNECTIONS = 8
"""Readers at once, and one writer among them: more threads than that only wait for one another."""


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """Pool and times of a `Database`. Times are in seconds."""

    pool_size: int = 20
    """Connections that are kept (PostgreSQL)."""
    max_overflow: int = 30
    """Connections beyond those, closed when they come back (PostgreSQL)."""
    pool_timeout: float = 30.0
    """Longest wait for a connection; the bulkhead is as large as the pool, so that nobody should wait at all."""
    pool_recycle: float = 3600.0
    """Age at which a connection is replaced."""
    connect_timeout: float = 5.0
    """For making a connection."""
    statement_timeout: float = 10.0
    """For one transaction where the caller's deadline leaves more; longer than that is the database's failure."""
    lock_timeout: float = 5.0
    """For one row's lock, or for SQLite's one writer."""
    idle_in_transaction_timeout: float = 10.0
    """After which PostgreSQL ends a transaction whose process says nothing, and gives its locks free."""
    outage_patience: float = 5.0
    """How long a transaction whose connection broke, or could not be made, is tried again."""
    slow_transaction: float = 1.0
    """From which on a transaction is logged by its name."""

    @property
    def pool_limit(self) -> int:
        """Most connections to PostgreSQL at once."""
        return self.pool_size + self.max_overflow


def normalise(url: str) -> URL:
    """The URL with its driver named: `postgresql` means psycopg2 here (SQLAlchemy 2.1 takes it for psycopg 3).

    Raises ValueError, without the URL's secrets, for anything but PostgreSQL and a SQLite file, and for what
    PostgreSQL's client would refuse in it.
    """
    try:
        parsed = make_url(url)
    except Exception:
        raise ValueError("the database URL cannot be read") from None
    match parsed.drivername:
        case "postgres" | "postgresql" | "postgresql+psycopg2":
            postgresql.check_url(parsed)
            return parsed.set(drivername="postgresql+psycopg2")
        case "sqlite" | "sqlite+pysqlite":
            if not parsed.database or parsed.database == ":memory:":
                raise ValueError("a SQLite database has to be a file: what is acknowledged must outlive the process")
            return parsed.set(drivername="sqlite+pysqlite")
        case other:
            raise ValueError(f"no such database: {other}; use postgresql:// or sqlite:///")


def connections(url: str, options: DatabaseOptions) -> int:
    """Connections that a `Database` of this URL has at most: the size of its bulkhead."""
    return SQLITE_CONNECTIONS if normalise(url).get_backend_name() == "sqlite" else options.pool_limit


def pool_status(engine: Engine, options: DatabaseOptions) -> PoolUse | None:
    """How the pool is used; None for SQLite, where a connection is a file that is open."""
    pool = engine.pool
    if engine.dialect.name == "sqlite" or not isinstance(pool, QueuePool):
        return None
    # SQLAlchemy counts its overflow from the empty pool: below zero while not all that may be kept are open.
    return PoolUse(pool.size(), pool.checkedout(), max(0, pool.overflow()), options.pool_limit)


def make_engine(url: str, options: DatabaseOptions) -> tuple[Engine, Flavour]:
    """An engine with its pool, not connected yet, and what is particular to its database."""
    parsed = normalise(url)
    if parsed.get_backend_name() == "sqlite":
        engine = sqlite.make_engine(parsed, SQLITE_CONNECTIONS, options.lock_timeout)
        return engine, sqlite.SqliteFlavour(options.lock_timeout)
    engine = postgresql.make_engine(
        parsed,
        pool_size=options.pool_size,
        max_overflow=options.max_overflow,
        pool_timeout=options.pool_timeout,
        pool_recycle=options.pool_recycle,
        connect_timeout=options.connect_timeout,
    )
    return engine, postgresql.PostgresFlavour(options.lock_timeout, options.idle_in_transaction_timeout)
