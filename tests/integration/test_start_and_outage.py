"""A database that goes away while a server starts, or while it is migrated: waited for, whatever was being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from ledgerlift_server.adapters.sql import check_schema, schema
from ledgerlift_server.app import serving
from ledgerlift_server.core import CannotStart, make_database, migrated
from ledgerlift_server.errors import DependencyUnavailable
from ledgerlift_server.settings import Settings
from sqlalchemy import make_url

from tests.support.databases import run_sql
from tests.support.server import isolated_settings
from tests.support.unreliable_wire import Fate, UnreliableWire


@contextmanager
def wire_to(url: str, *fates: Fate) -> Iterator[tuple[UnreliableWire, str]]:
    """A wire before the database, and the database's URL on it: one of `fates` for each connection, then no harm."""
    coming = iter(fates)
    parsed = make_url(url)
    with UnreliableWire(f"{parsed.host}:{parsed.port}", lambda: next(coming, Fate())) as wire:
        host, _, port = wire.address.rpartition(":")
        yield wire, parsed.set(host=host, port=int(port)).render_as_string(hide_password=False)


async def migrate_by(settings: Settings) -> str:
    """As the command does."""
    async with AsyncExitStack() as stack:
        return await migrated(make_database(settings, stack), settings)


async def test_a_database_that_dies_before_its_schema_is_looked_at(tmp_path: Path, postgres_url: str) -> None:
    """It had been waited for, and is waited for again: the server serves."""
    with wire_to(postgres_url, Fate(), Fate(reset_after=0), Fate(reset_after=200)) as (wire, url):
        async with serving(isolated_settings(tmp_path, database_url=url)):
            assert wire.traffic.resets == 2


async def test_a_database_that_stays_away_is_told_in_a_sentence(tmp_path: Path, postgres_url: str) -> None:
    """After the time to start: no traceback, and no cause of the driver's."""
    fates = [Fate(), *[Fate(reset_after=0)] * 50]
    with wire_to(postgres_url, *fates) as (_, url), pytest.raises(CannotStart, match="could not be used for 1 s"):
        async with serving(isolated_settings(tmp_path, database_url=url, startup_timeout=1.0)):
            pytest.fail("it serves without a schema")


@pytest.mark.parametrize("reset_after", [0, 2_000, 8_000])
async def test_a_database_that_dies_while_it_is_migrated(
    tmp_path: Path, postgres_empty_url: str, reset_after: int
) -> None:
    """However far it had come, in bytes: the migration is made again, whole."""
    pool, lock, migration = Fate(), Fate(), Fate(reset_after=reset_after)
    with wire_to(postgres_empty_url, pool, lock, migration) as (wire, url):
        assert "is at schema" in await migrate_by(isolated_settings(tmp_path, database_url=url))
        assert wire.traffic.resets == 1
    check_schema(postgres_empty_url)


async def test_a_schema_that_cannot_be_read_in_time(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the table: not waited for without an end."""
    monkeypatch.setattr(schema, "CHECK_TIMEOUT", 0.1)
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as statement:
        statement.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DependencyUnavailable, match="cannot be asked for its schema"):
            await asyncio.to_thread(check_schema, postgres_url)
    assert run_sql(postgres_url, "SELECT count(*) AS n FROM alembic_version") == [{"n": 1}]
