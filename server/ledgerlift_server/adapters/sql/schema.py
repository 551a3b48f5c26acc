"""Bring a database to this version's schema, or check that it may be worked with. Called before serving.

    expansions ──────────> at once: servers of the version before go on
    a contraction ───────> when nobody can miss what it takes away, else it waits for the next `migrate`
    a newer database ────> left as it is, and used where it allows that (`revisions.py`)

One transaction holds all of a migration: it happens whole or not at all. In PostgreSQL an advisory lock
keeps replicas that start together from migrating side by side. It is held by a connection of its own,
which is closed at the end (a session's lock would stay with a pooled one), and it is polled, because a
wait inside PostgreSQL could not be given up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, select, text, update
from sqlalchemy.exc import DBAPIError

from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.adapters.sql.flavour import Failure, Flavour
from ledgerlift_server.adapters.sql.postgresql import (
    KEEPALIVE,
    PostgresFlavour,
    bound_connecting,
    connected_servers,
)
from ledgerlift_server.adapters.sql.revisions import (
    MIGRATIONS,
    KnownSchemas,
    Marks,
    Revision,
    SchemaMismatch,
    load_schemas,
    own_schemas,
    scripts_in,
)
from ledgerlift_server.adapters.sql.sqlite import SqliteFlavour
from ledgerlift_server.adapters.sql.tables import metadata, schema_compatibility
from ledgerlift_server.errors import DependencyUnavailable

__all__ = ["Migrated", "SchemaMismatch", "check_schema", "check_server", "migrate", "read_marks", "refuse_unfit"]

logger = logging.getLogger(__name__)

ADVISORY_LOCK = 0x6C65646765726C69
"""Of migrations; the letters `ledgerli`."""
CONNECT_TIMEOUT = 5
"""Seconds for each connection made here."""
CHECK_TIMEOUT = 10
"""Seconds for all that is asked of a database in order to check it."""
LOCK_TIMEOUT = 10
"""Seconds that a migration waits for a table; behind one that waits, everybody else waits too."""
POLL_INTERVAL = 0.2
"""Seconds between two attempts at the lock."""

OLDEST = {
    "postgresql": ((13,), "the audit trail needs pg_current_xact_id(), of version 13"),
    "sqlite": ((3, 35), "RETURNING came with version 3.35"),
}


@dataclass(frozen=True, slots=True)
class Migrated:
    """How `migrate` left the database. `waiting`: a contraction that could not be made yet, and why."""

    marks: Marks
    newer: bool
    waiting: str | None

    @property
    def sentence(self) -> str:
        """For whoever deploys."""
        known = ", newer than this version's, which may run on it" if self.newer else ""
        said = f"the database is at schema {self.marks.revision}{known}; servers made for "
        said += f"{self.marks.least_server} or newer may run on it"
        return said if self.waiting is None else f"{said}\n{self.waiting}"


def migrate(
    url: str,
    *,
    timeout: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    folder: Path = MIGRATIONS,
) -> Migrated:
    """Bring the database at `url` to the newest schema that its servers allow; nothing where it is there already.

    Waits up to `timeout` seconds while another process migrates. Raises SchemaMismatch when that took
    longer, or when the database wants newer servers; DependencyUnavailable when the database failed, before
    or while it migrated: nothing was changed then, unless its very last answer was lost.
    """
    known, give_up_at = load_schemas(folder), clock() + timeout
    with _engine(url) as engine, _alone(engine, give_up_at, sleep, clock), engine.connect() as connection:
        check_server(connection)
        marks = read_marks(connection)
        newer = marks.revision is not None and known.find(marks.revision) is None
        if newer:
            known.refuse_contracted(marks)
        steps, waiting = ([], None) if newer else _allowed(connection, known, marks)
        # Whatever happens before the COMMIT closes the connection, which undoes it all.
        sqlite = engine.name == "sqlite"
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if sqlite else f"BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"
        )
        if steps:
            upgrade(connection, folder, steps[-1].name)
            connection.execute(update(schema_compatibility).values(least_server=steps[-1].least_server))
        _begin_era(connection)
        marks = read_marks(connection)
        connection.exec_driver_sql("COMMIT")
    return Migrated(marks, newer, waiting)


def check_schema(url: str, known: KnownSchemas | None = None) -> Marks:
    """What the database at `url` says. Raises as `refuse_unfit`, and DependencyUnavailable."""
    with _engine(url, limit=CHECK_TIMEOUT) as engine, engine.connect() as connection:
        return refuse_unfit(connection, known)


def refuse_unfit(connection: Connection, known: KnownSchemas | None = None) -> Marks:
    """What the database says. Raises SchemaMismatch unless a server of this version may run on it."""
    marks = read_marks(connection)
    (known or own_schemas()).refuse_unfit(marks)
    if _is_foreign(connection):
        raise SchemaMismatch("the database was restored from another cluster: migrate it first")
    return marks


def read_marks(connection: Connection) -> Marks:
    """Of a database that may be empty, or older than the marks."""
    heads = MigrationContext.configure(connection).get_current_heads()
    if not heads:
        return Marks(None, None)
    there = connection.dialect.has_table(connection, schema_compatibility.name)
    least = connection.scalar(select(schema_compatibility.c.least_server)) if there else None
    return Marks(heads[0], least)


def _allowed(connection: Connection, known: KnownSchemas, marks: Marks) -> tuple[list[Revision], str | None]:
    """The migrations to make now, and why one that is left has to wait.

    What a contraction takes away must be missed neither by a server that runs, nor by one of the version before,
    should it have to be started again: what it was made for, the database says.
    """
    steps: list[Revision] = []
    for step in known.after(marks.revision):
        if step.contracts and marks.revision is not None:
            oldest = [
                name for name in _servers_connected(connection, known) if known.is_older(name, step.least_server)
            ]
            if oldest or known.is_older(marks.revision, step.least_server):
                return steps, (
                    f"schema {step.name} waits: migrate again when no server made for a schema older than "
                    f"{step.least_server} is left, nor needed to go back to"
                )
        steps.append(step)
    return steps, None


def _servers_connected(connection: Connection, known: KnownSchemas) -> list[str]:
    """The revisions that servers at work on this database are made for."""
    if connection.dialect.name == "sqlite":
        return []
    return [made_for or known.revisions[0].name for made_for in connected_servers(connection)]


@contextmanager
def _engine(url: str, *, limit: float | None = None) -> Iterator[Engine]:
    """Of connections that are made one by one, and all asked within `limit` seconds.

    Raises in place of the driver's errors, unless they are a mistake of ours: DependencyUnavailable, and
    SchemaMismatch where the user lacks a right, as nearly everybody does to make tables since PostgreSQL 15.
    """
    engine, flavour = _unpooled(normalise(url))
    try:
        with nullcontext() if limit is None else flavour.attempt(write=False, limit=limit):
            yield engine
    except DBAPIError as error:
        cause = str(error.orig).strip()
        match flavour.classify(error):
            case Failure.DEFECT:
                raise
            case Failure.REFUSED:
                what = cause.splitlines()[0]
                raise SchemaMismatch(f"the database does not let its user do this: {what}") from error
        logger.warning("schema_unknown", extra={"cause": cause})
        raise DependencyUnavailable("the database cannot be asked for its schema") from error
    finally:
        engine.dispose()


def _unpooled(url: URL) -> tuple[Engine, Flavour]:
    sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, object] = {"timeout": float(CONNECT_TIMEOUT)}
    if not sqlite:
        arguments = {"connect_timeout": CONNECT_TIMEOUT, "application_name": "ledgerlift-migrate", **KEEPALIVE}
    engine = create_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=arguments
    )
    if sqlite:
        return engine, SqliteFlavour(CONNECT_TIMEOUT)
    bound_connecting(engine, CONNECT_TIMEOUT)
    return engine, PostgresFlavour(LOCK_TIMEOUT, CHECK_TIMEOUT)


@contextmanager
def _alone(
    engine: Engine, give_up_at: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> Iterator[None]:
    """In SQLite, BEGIN IMMEDIATE is the lock."""
    if engine.name == "sqlite":
        yield
        return
    with engine.connect() as holder:
        while not holder.scalar(text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})")):
            if clock() >= give_up_at:
                raise SchemaMismatch("another process has been migrating the database all the time")
            sleep(POLL_INTERVAL)
        yield


def upgrade(connection: Connection, folder: Path, revision: str) -> None:
    """Alembic's own, to `revision` and no further, on a connection whose transaction is already ours."""
    scripts = scripts_in(folder)
    with EnvironmentContext(
        Config(), scripts, fn=lambda current, context: scripts._upgrade_revs(revision, current)
    ) as environment:
        environment.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
        environment.run_migrations()


def check_server(connection: Connection) -> None:
    """Raise SchemaMismatch for a database server that is too old, or that cannot hold any text."""
    version = connection.dialect.server_version_info or (0,)
    oldest, why = OLDEST[connection.dialect.name]
    if version < oldest:
        raise SchemaMismatch(f"{connection.dialect.name} {'.'.join(map(str, version))} is too old: {why}")
    if connection.dialect.name == "sqlite":
        return
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise SchemaMismatch(f"the database has the encoding {encoding}; file names and labels need UTF8")


def _begin_era(connection: Connection) -> None:
    if _is_foreign(connection):
        connection.execute(text("UPDATE event_era SET era = era + 1"))


def _is_foreign(connection: Connection) -> bool:
    """Whether the trail's transaction numbers cannot be this cluster's: it was restored from a dump."""
    if connection.engine.name == "sqlite":
        return False
    found = connection.scalar(
        text(
            "SELECT EXISTS (SELECT FROM (SELECT era, xid FROM events ORDER BY id DESC LIMIT 1000) latest"
            " JOIN event_era USING (era) WHERE xid > pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
        )
    )
    return bool(found)
