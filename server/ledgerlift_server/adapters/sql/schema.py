"""Bring a database to this version's schema, or check that it is there. Called at start-up, before serving.

One transaction holds all of a migration: it happens whole or not at all. In PostgreSQL an advisory lock
keeps replicas that start together from migrating side by side. It is held by a connection of its own,
which is closed at the end (a session's lock would stay with a pooled one), and it is polled, because a
wait inside PostgreSQL could not be given up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.adapters.sql.postgresql import KEEPALIVE, bound_connecting
from ledgerlift_server.adapters.sql.tables import metadata

MIGRATIONS = Path(__file__).parent / "migrations"

ADVISORY_LOCK = 0x6C65646765726C69
"""Of migrations; the letters `ledgerli`."""
CONNECT_TIMEOUT = 5
"""Seconds for each connection made here."""
LOCK_TIMEOUT = 10
"""Seconds that a migration waits for a table; behind one that waits, everybody else waits too."""
POLL_INTERVAL = 0.2
"""Seconds between two attempts at the lock."""

OLDEST = {
    "postgresql": ((13,), "the audit trail needs pg_current_xact_id(), of version 13"),
    "sqlite": ((3, 35), "RETURNING came with version 3.35"),
}


class SchemaMismatch(Exception):
    """The database is not at this version's schema, or cannot carry it. The message says what to do."""


def migrate(
    url: str,
    *,
    timeout: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Bring the database at `url` to the newest schema; nothing happens where it is there already.

    Waits up to `timeout` seconds while another process migrates. Raises SchemaMismatch when that took
    longer, or when the database belongs to a newer version; SQLAlchemy's errors when it cannot be reached.
    """
    give_up_at = clock() + timeout
    with _engine(url) as engine, _alone(engine, give_up_at, sleep, clock), engine.connect() as connection:
        check_server(connection)
        scripts = _scripts()
        _refuse_newer(connection, scripts)
        # Whatever happens before the COMMIT closes the connection, which undoes it all.
        sqlite = engine.name == "sqlite"
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE" if sqlite else f"BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}s'"
        )
        _upgrade(connection, scripts)
        _begin_era(connection)
        connection.exec_driver_sql("COMMIT")


def check_schema(url: str) -> None:
    """Raise SchemaMismatch unless the database at `url` is at exactly this version's schema."""
    with _engine(url) as engine, engine.connect() as connection:
        scripts = _scripts()
        _refuse_newer(connection, scripts)
        current = MigrationContext.configure(connection).get_current_heads()
        if current != tuple(scripts.get_heads()):
            raise SchemaMismatch(
                f"the database is at schema {', '.join(current) or 'none'}, this version needs "
                f"{', '.join(scripts.get_heads())}: migrate it first"
            )
        if _is_foreign(connection):
            raise SchemaMismatch("the database was restored from another cluster: migrate it first")


@contextmanager
def _engine(url: str) -> Iterator[Engine]:
    parsed = normalise(url)
    if parsed.get_backend_name() == "sqlite":
        arguments: dict[str, object] = {"timeout": float(CONNECT_TIMEOUT)}
    else:
        arguments = {"connect_timeout": CONNECT_TIMEOUT, "application_name": "ledgerlift-migrate", **KEEPALIVE}
    engine = create_engine(
        parsed, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=arguments
    )
    if engine.name == "postgresql":
        bound_connecting(engine, CONNECT_TIMEOUT)
    try:
        yield engine
    finally:
        engine.dispose()


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


def _scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def _upgrade(connection: Connection, scripts: ScriptDirectory) -> None:
    """Alembic's own `upgrade`, on a connection whose transaction is already ours."""
    head = scripts.get_current_head()
    assert head is not None
    config = Config()
    with EnvironmentContext(
        config, scripts, fn=lambda revision, context: scripts._upgrade_revs(head, revision)
    ) as environment:
        environment.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
        environment.run_migrations()


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        raise SchemaMismatch(
            f"the database is at schema {', '.join(sorted(unknown))}, which this version does not know: "
            "it was migrated by a newer one"
        )


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
