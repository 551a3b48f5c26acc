"""What the comparison of two schemas finds: each change that an expansion must not make, and none that it may."""

from __future__ import annotations

from collections.abc import Sequence

from ledgerlift_server.adapters.sql.engine import normalise
from sqlalchemy import NullPool, create_engine

from tests.support.schema_shape import narrowings, shape_in

BOTH = [
    ("DROP TABLE removals", ["table removals is gone"]),
    ("ALTER TABLE leases RENAME TO locks", ["table leases is gone"]),
    ("ALTER TABLE sessions DROP COLUMN opened_by", ["sessions: column opened_by is gone"]),
    (
        "ALTER TABLE sessions RENAME COLUMN opened_by TO opener",
        ["column opened_by is gone", "new column opener has to"],
    ),
    ("DROP INDEX removals_due", ["removals: index (due_time, removal_id) is gone"]),
    ("DROP INDEX documents_key_key", ["documents: index (owner, key) WHERE key IS NOT NULL is gone"]),
    ("CREATE UNIQUE INDEX one_name ON documents (filename)", ["documents: unique index (filename) is new"]),
]
POSTGRESQL = [
    ("ALTER TABLE sessions ALTER COLUMN part_count TYPE BIGINT", ["part_count was INTEGER and is BIGINT"]),
    (
        "ALTER TABLE removals ALTER COLUMN multipart_id SET NOT NULL",
        ["multipart_id has to be given now", "may not be NULL"],
    ),
    ("ALTER TABLE removals ADD COLUMN reason TEXT NOT NULL", ["removals: new column reason has to be given"]),
    ("ALTER TABLE blobs ADD CHECK (size > 0)", ["blobs: check size > 0 is new"]),
    ("ALTER TABLE leases DROP CONSTRAINT leases_pkey", ["leases: the primary key is another"]),
    (
        "ALTER TABLE removals ADD FOREIGN KEY (object_name) REFERENCES blobs (object_name)",
        ["removals: foreign key (object_name) to blobs(object_name) is new"],
    ),
]
EXPANSIONS = [
    "ALTER TABLE sessions ADD COLUMN added TEXT",
    "ALTER TABLE sessions ADD COLUMN added INTEGER DEFAULT 0 NOT NULL",
    "CREATE INDEX added ON sessions (filename)",
    "CREATE TABLE added (number INTEGER PRIMARY KEY, document_id TEXT NOT NULL UNIQUE CHECK (document_id <> ''))",
]


def check(url: str, cases: Sequence[tuple[str, list[str]]]) -> None:
    """Each statement in a transaction of its own, which is undone."""
    engine = create_engine(normalise(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    wrong = []
    with engine.connect() as connection:
        before = shape_in(connection)
        for statement, expected in cases:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql(statement)
            found = narrowings(before, shape_in(connection))
            connection.exec_driver_sql("ROLLBACK")
            parts = zip(found, expected, strict=False)
            if len(found) != len(expected) or not all(part in said for said, part in parts):
                wrong.append(f"{statement}: {found}")
    engine.dispose()
    assert wrong == []


def test_what_is_taken_away_is_found(database_url: str) -> None:
    """In either database, each with a sentence that names it."""
    check(database_url, BOTH)


def test_what_is_narrowed_is_found(postgres_url: str) -> None:
    """What SQLite cannot do to a table that is there."""
    check(postgres_url, POSTGRESQL)


def test_what_is_added_is_none(database_url: str) -> None:
    """Nothing that the server before would notice."""
    check(database_url, [(statement, []) for statement in EXPANSIONS])
