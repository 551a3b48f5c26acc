"""Migrations of a version that does not exist yet: those of this one, and what a test adds behind them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ledgerlift_server.adapters.sql.engine import normalise
from ledgerlift_server.adapters.sql.revisions import MIGRATIONS, own_schemas
from ledgerlift_server.adapters.sql.schema import upgrade
from ledgerlift_server.adapters.sql.tables import metadata
from sqlalchemy import NullPool, create_engine

NEWEST = own_schemas().newest
FIRST_NEW, SECOND_NEW, THIRD_NEW = (f"{int(NEWEST) + number:04}" for number in (1, 2, 3))
"""The revisions that come next."""

_MODULE = '''"""Made by a test."""

from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
{phase}


def upgrade() -> None:
    for statement in {statements!r}:
        op.execute(statement)
'''


def expansion(*statements: str) -> tuple[str, Sequence[str]]:
    """A migration that says that servers of the revision before go on."""
    return 'phase = "expand"', statements


def contraction(least_server: str, *statements: str) -> tuple[str, Sequence[str]]:
    """A migration that takes away what only servers older than `least_server` use."""
    return f'phase = "contract"\nleast_server = "{least_server}"', statements


def newer_version(folder: Path, *migrations: tuple[str, Sequence[str]]) -> Path:
    """A folder of migrations that goes on behind ours, numbered from FIRST_NEW."""
    made = folder / "migrations"
    shutil.copytree(MIGRATIONS, made, ignore=shutil.ignore_patterns("__pycache__"))
    for migration in migrations:
        add_migration(made, migration)
    return made


def add_migration(folder: Path, migration: tuple[str, Sequence[str]]) -> None:
    """One more behind those in `folder`."""
    before = load_newest(folder)
    phase, statements = migration
    revision = f"{int(before) + 1:04}"
    module = _MODULE.format(revision=revision, before=before, phase=phase, statements=list(statements))
    (folder / "versions" / f"v{revision}.py").write_text(module)


def load_newest(folder: Path) -> str:
    """The number of the newest migration in `folder`, by its file's name."""
    return max(module.name[1:5] for module in (folder / "versions").glob("v*.py"))


def everything_expanded() -> tuple[str, Sequence[str]]:
    """What an expansion may do to a table, done to each: columns, one of them with a default, an index, a table."""
    statements = []
    for name in metadata.tables:
        statements += [
            f"ALTER TABLE {name} ADD COLUMN added TEXT",
            f"ALTER TABLE {name} ADD COLUMN added_number INTEGER DEFAULT 7 NOT NULL",
            f"CREATE INDEX {name}_by_added ON {name} (added, added_number)",
        ]
    statements.append("CREATE TABLE added_table (number INTEGER PRIMARY KEY, document_id TEXT)")
    return expansion(*statements)


def step_to(url: str, revision: str) -> None:
    """Our migrations as far as `revision`, whatever they say of their phase."""
    engine = create_engine(normalise(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            upgrade(connection, MIGRATIONS, revision)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()
