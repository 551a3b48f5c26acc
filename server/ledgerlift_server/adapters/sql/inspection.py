"""A look at a database from outside, for the doctor: nothing waits for long, nothing is changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledgerlift_server.adapters.sql.engine import DatabaseOptions, make_engine, normalise
from ledgerlift_server.adapters.sql.postgresql import NoAnswer
from ledgerlift_server.adapters.sql.schema import SchemaMismatch, check_server, refuse_unfit
from ledgerlift_server.errors import DependencyUnavailable


@dataclass(frozen=True, slots=True)
class Capacity:
    """Connections to PostgreSQL: all that this role may open, and those that are open, whoever opened them."""

    limit: int
    in_use: int


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What was found. Times are in seconds."""

    server: str
    """`PostgreSQL 17.2`, `SQLite 3.40.1`."""
    round_trip: float
    too_old: str
    """Why this version or its encoding cannot be used; empty where it can."""
    schema_problem: str
    """Why the schema is not one that this version may run on; empty where it is."""
    read_only: bool
    """A standby, or told to refuse writing."""
    clock_ahead: float | None
    """By how much the database's clock is ahead of ours, give or take half of `round_trip`; None: it has none."""
    capacity: Capacity | None
    """None for SQLite."""


def inspect_database(url: str, *, connect_timeout: float, limit: float) -> DatabaseFacts | None:
    """None for a SQLite database that is not there yet. Raises DependencyUnavailable, without any secret.

    `limit` in seconds is for all of it, once a connection is made.
    """
    parsed = normalise(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    if sqlite and not Path(parsed.database or "").exists():
        return None  # to look would make it
    engine, flavour = make_engine(url, DatabaseOptions(pool_size=1, max_overflow=0, connect_timeout=connect_timeout))
    try:
        with flavour.attempt(write=False, limit=limit), engine.connect() as connection:
            too_old = _problem(lambda: check_server(connection))
            # A server that is too old may not understand the question.
            schema_problem = too_old or _problem(lambda: refuse_unfit(connection))
            return _facts_of(connection, too_old, schema_problem)
    except (DBAPIError, PoolTimeout) as error:
        raise DependencyUnavailable(_sentence(error, parsed)) from error
    finally:
        engine.dispose()


def describe(url: str) -> str:
    """Which database it is, without user and password."""
    parsed = normalise(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return f"{parsed.database or 'the default database'} at {parsed.host or 'a socket'}:{parsed.port or 5432}"


def _facts_of(connection: Connection, too_old: str, schema_problem: str) -> DatabaseFacts:
    sqlite = connection.engine.name == "sqlite"
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    asked, began = time.time(), time.monotonic()
    told = connection.scalar(text("SELECT 1" if sqlite else "SELECT extract(epoch FROM clock_timestamp())"))
    round_trip = time.monotonic() - began
    return DatabaseFacts(
        server=f"{'SQLite' if sqlite else 'PostgreSQL'} {version}",
        round_trip=round_trip,
        too_old=too_old,
        schema_problem=schema_problem,
        read_only=not sqlite and connection.scalar(text(_READ_ONLY)) == "on",
        clock_ahead=None if sqlite else float(told) - (asked + round_trip / 2),
        capacity=None if sqlite else Capacity(*connection.execute(text(_CAPACITY)).one()),
    )


# A standby says so as well.
_READ_ONLY = "SELECT current_setting('transaction_read_only')"
_CAPACITY = """
SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
), (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid())
"""


def _problem(check: Callable[[], object]) -> str:
    try:
        check()
    except SchemaMismatch as mismatch:
        return str(mismatch)
    return ""


def _sentence(error: DBAPIError | PoolTimeout, url: URL) -> str:
    """The first line of what the driver says. It names host, port, user and database, and should never a password."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, NoAnswer):
        return "no answer in time"
    line = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    for password in (url.password, url.query.get("password")):
        line = line.replace(password, "***") if isinstance(password, str) and password else line
    return line
