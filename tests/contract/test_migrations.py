"""The schema: made, checked, and made by one process at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ledgerlift_server.adapters.sql import SchemaMismatch, SqlUploadLedger, check_schema, migrate
from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.adapters.sql.schema import ADVISORY_LOCK, OLDEST
from ledgerlift_server.adapters.sql.tables import metadata
from sqlalchemy import NullPool, create_engine, inspect
from sqlalchemy.exc import DBAPIError

from tests.support.databases import OpenDatabase, run_sql
from tests.support.postgres import PostgresServer
from tests.support.uploads import publish


def _tables(url: str) -> set[str]:
    engine = create_engine(normalise(url), poolclass=NullPool)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


async def test_an_empty_database_becomes_usable(empty_database_url: str, open_database: OpenDatabase) -> None:
    """Before, the check says what to do; after, everything works; again, nothing happens."""
    with pytest.raises(SchemaMismatch, match="migrate it first"):
        check_schema(empty_database_url)
    migrate(empty_database_url)
    check_schema(empty_database_url)
    ledger = SqlUploadLedger(open_database(empty_database_url))
    published = await publish(ledger, b"data")
    migrate(empty_database_url)
    check_schema(empty_database_url)
    assert await ledger.get_with_document("alice", published.session.upload_id) == (
        published.session,
        published.document,
    )


def test_the_migrations_make_what_the_code_expects(database_url: str) -> None:
    """Tables, columns, types and indexes are those of `tables.py`: no difference in either direction."""
    engine = create_engine(normalise(database_url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []
    finally:
        engine.dispose()


def test_the_migrations_make_the_conditions_of_partial_indexes(database_url: str) -> None:
    """Which Alembic does not compare: without its condition a unique index would refuse what is allowed."""
    catalogue = (
        "SELECT name, sql AS definition FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if database_url.startswith("sqlite")
        else "SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE schemaname = 'public'"
    )
    made = {row["name"]: " WHERE " in row["definition"] for row in run_sql(database_url, catalogue)}
    expected = {
        index.name: index.dialect_options["postgresql"]["where"] is not None
        for table in metadata.tables.values()
        for index in table.indexes
    }
    assert {name: made[str(name)] for name in expected} == expected
    assert sum(expected.values()) >= 8


def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    """Neither checked as fine nor migrated, where it wants newer servers or does not say which."""
    run_sql(database_url, "UPDATE alembic_version SET version_num = '9999'")
    run_sql(database_url, "UPDATE schema_compatibility SET least_server = '9998'")
    for attempt in (check_schema, migrate):
        with pytest.raises(SchemaMismatch, match="newer"):
            attempt(database_url)
    run_sql(database_url, "DELETE FROM schema_compatibility")
    for attempt in (check_schema, migrate):
        with pytest.raises(SchemaMismatch, match="another version"):
            attempt(database_url)
    assert run_sql(database_url, "SELECT version_num FROM alembic_version") == [{"version_num": "9999"}]


def test_replicas_that_start_together_migrate_once(empty_database_url: str) -> None:
    """Six at the same moment: every one of them finds the schema there."""
    together = threading.Barrier(6)

    def start(_: int) -> None:
        together.wait()
        migrate(empty_database_url)
        check_schema(empty_database_url)

    with ThreadPoolExecutor(6) as replicas:
        list(replicas.map(start, range(6)))
    assert run_sql(empty_database_url, "SELECT count(*) AS n FROM event_era") == [{"n": 1}]


def test_a_migration_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    """A table in the way: the whole of it is undone, and it can be tried again."""
    run_sql(empty_database_url, "CREATE TABLE sessions (other INTEGER)")
    with pytest.raises(DBAPIError):
        migrate(empty_database_url)
    assert _tables(empty_database_url) == {"sessions"}
    run_sql(empty_database_url, "DROP TABLE sessions")
    migrate(empty_database_url)
    check_schema(empty_database_url)


@pytest.fixture
def busy_url(postgres_empty_url: str) -> Iterator[str]:
    """A database that another process is migrating at this moment."""
    with closing(psycopg2.connect(postgres_empty_url)) as other, other.cursor() as statement:
        statement.execute(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
        yield postgres_empty_url


def test_waiting_for_another_migration_ends(busy_url: str) -> None:
    """After the timeout, with a sentence that says why; nothing was changed and no lock is left."""
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    with pytest.raises(SchemaMismatch, match="another process"):
        migrate(busy_url, timeout=60.0, sleep=sleep, clock=lambda: time[0])
    assert time[0] >= 60.0
    assert _tables(busy_url) == set()
    assert run_sql(busy_url, "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'") == [{"n": 1}]


def test_no_lock_is_left_after_a_migration(postgres_empty_url: str) -> None:
    """The connection that held it is closed."""
    migrate(postgres_empty_url)
    assert run_sql(postgres_empty_url, "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'") == [{"n": 0}]


def test_a_server_that_is_too_old_is_refused(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what it is missing, before anything is changed."""
    for kind in OLDEST:
        monkeypatch.setitem(OLDEST, kind, ((99,), "because"))
    with pytest.raises(SchemaMismatch, match="too old: because"):
        migrate(empty_database_url)
    assert _tables(empty_database_url) == set()


def test_a_database_that_cannot_hold_unicode_is_refused(postgres_server: PostgresServer) -> None:
    """File names and labels are any text."""
    postgres_server.execute("CREATE DATABASE narrow ENCODING 'SQL_ASCII' TEMPLATE template0")
    try:
        with pytest.raises(SchemaMismatch, match="UTF8"):
            migrate(postgres_server.url("narrow"))
    finally:
        postgres_server.drop_database("narrow")
