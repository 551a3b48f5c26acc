"""A PostgreSQL whose user lacks a right: said in a sentence at the start, and Unavailable later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from ledgerlift_server.app import serving
from ledgerlift_server.core import CannotStart, make_database, migrated
from ledgerlift_server.errors import DependencyUnavailable
from sqlalchemy import make_url, text

from tests.support.databases import OpenDatabase, run_sql
from tests.support.server import isolated_settings


@contextmanager
def user_without_rights(url: str) -> Iterator[str]:
    """The URL of the same database for a user of its own, who may connect and nothing else."""
    parsed = make_url(url)
    name = f"weak_{parsed.database}"
    run_sql(url, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    try:
        yield parsed.set(username=name, password=name).render_as_string(hide_password=False)
    finally:
        run_sql(url, f"DROP ROLE {name}")


@pytest.mark.parametrize("taken", ["CREATE", "ALL"])
async def test_a_user_who_may_not_make_tables(tmp_path: Path, postgres_empty_url: str, taken: str) -> None:
    """As everybody is since PostgreSQL 15, but for the database's owner; and one who does not even see the schema."""
    run_sql(postgres_empty_url, f"REVOKE {taken} ON SCHEMA public FROM PUBLIC")
    with user_without_rights(postgres_empty_url) as url:
        settings = isolated_settings(tmp_path, database_url=url, startup_timeout=1000.0)
        async with AsyncExitStack() as stack:
            with pytest.raises(CannotStart, match="does not let its user do this"):
                await migrated(make_database(settings, stack), settings)


async def test_a_server_whose_user_may_not_read(tmp_path: Path, postgres_url: str) -> None:
    """As where another user has migrated."""
    refused = pytest.raises(CannotStart, match="permission denied for table alembic_version")
    with user_without_rights(postgres_url) as url, refused:
        async with serving(isolated_settings(tmp_path, database_url=url, startup_timeout=1000.0)):
            pytest.fail("it serves what it may not read")


async def test_a_right_that_is_taken_while_the_server_serves(open_database: OpenDatabase, postgres_url: str) -> None:
    """Unavailable, and not a defect; but the database did answer, so that its breaker keeps out of it."""
    with user_without_rights(postgres_url) as url:
        database = open_database(url)
        with pytest.raises(DependencyUnavailable, match="refuses its user a right") as refused:
            await database.read("look", lambda tx: tx.first(text("SELECT * FROM documents")))
        assert refused.value.answered
        database.close()
