"""One suite, every database: fixtures that come once as SQLite and once as PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import (
    Database,
    DatabaseOptions,
    SqlDocuments,
    SqlMaintenance,
    SqlUploadLedger,
    connections,
    migrate,
)
from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.resilience.bulkhead import Bulkhead
from sqlalchemy import NullPool, create_engine, text

from tests.support.dependencies import never_opens

BACKENDS = ("sqlite", "postgresql")

OpenDatabase = Callable[..., Database]


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite file at the newest schema, this test's own."""
    path = tmp_path / "ledgerlift.db"
    shutil.copyfile(_sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """A database at the newest schema, of every kind in turn."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=BACKENDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema, of every kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("postgres_empty_url")
    return url


@pytest.fixture
def open_database() -> Iterator[OpenDatabase]:
    """Opens a `Database` on a URL, with the options given; all are closed at the end.

    Every call makes a process's worth: a pool and a bulkhead of its own.
    """
    opened: list[tuple[Database, Bulkhead]] = []

    def open_one(url: str, options: DatabaseOptions | None = None, **more: Any) -> Database:
        options = options or DatabaseOptions()
        bulkhead = Bulkhead("database", connections(url, options), max_wait=30.0)
        database = Database(url, never_opens("database", bulkhead), options, **more)
        opened.append((database, bulkhead))
        return database

    yield open_one
    for database, bulkhead in opened:
        database.close()
        bulkhead.close()


@pytest.fixture
def database(open_database: OpenDatabase, database_url: str) -> Database:
    """An open database of every kind in turn."""
    return open_database(database_url)


@pytest.fixture
def ledger(database: Database) -> SqlUploadLedger:
    """The ledger on `database`."""
    return SqlUploadLedger(database)


@pytest.fixture
def documents(database: Database) -> SqlDocuments:
    """The documents on `database`."""
    return SqlDocuments(database)


@pytest.fixture
def maintenance(database: Database) -> SqlMaintenance:
    """The janitor's side of `database`."""
    return SqlMaintenance(database)


Sql = Callable[[str], list[dict[str, Any]]]
"""Runs one statement; the rows that it answers."""


@pytest.fixture
def sql(database_url: str) -> Sql:
    """Runs one statement on `database`, past the repositories; its rows."""
    return lambda statement: run_sql(database_url, statement)


def run_sql(url: str, statement: str) -> list[dict[str, Any]]:
    """Run one statement on a connection of its own; its rows."""
    engine = create_engine(normalise(url), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return [dict(row) for row in result.mappings()] if result.returns_rows else []
    finally:
        engine.dispose()
