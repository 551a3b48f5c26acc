"""Which servers may run on which schema: expansions are waited for by nobody, contractions by those who miss them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import SchemaMismatch, SchemaWatch, SqlUploadLedger, check_schema, migrate
from ledgerlift_server.adapters.sql.revisions import Marks, load_schemas
from ledgerlift_server.errors import DependencyUnavailable

from tests.support.databases import OpenDatabase, run_sql
from tests.support.migrations import (
    FIRST_NEW,
    NEWEST,
    SECOND_NEW,
    THIRD_NEW,
    contraction,
    everything_expanded,
    expansion,
    newer_version,
)
from tests.support.repository_life import live
from tests.support.uploads import publish

OLDEST = "0001"
DROP = "ALTER TABLE sessions DROP COLUMN added"
ADD = "ALTER TABLE sessions ADD COLUMN added TEXT"


def columns(url: str) -> set[str]:
    """Of the table that tests change."""
    if url.startswith("sqlite"):
        return {row["name"] for row in run_sql(url, "SELECT name FROM pragma_table_info('sessions')")}
    found = run_sql(url, "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'sessions'")
    return {row["name"] for row in found}


def test_a_migrated_database_says_who_may_run_on_it(database_url: str) -> None:
    """Its own revision, and the least that a server has to be made for."""
    assert check_schema(database_url) == Marks(NEWEST, OLDEST)
    done = migrate(database_url)
    assert (done.newer, done.waiting) == (False, None)
    assert done.sentence == (f"the database is at schema {NEWEST}; servers made for {OLDEST} or newer may run on it")


def test_this_version_goes_on_with_an_expansion_that_it_does_not_know(database_url: str, tmp_path: Path) -> None:
    """A server starts on it, and `migrate` of this version changes nothing: a rollback needs both."""
    migrate(database_url, folder=newer_version(tmp_path, everything_expanded()))
    assert check_schema(database_url) == Marks(FIRST_NEW, OLDEST)
    done = migrate(database_url)
    assert (done.newer, done.waiting, done.marks) == (True, None, Marks(FIRST_NEW, OLDEST))
    assert f"{FIRST_NEW}, newer than this version's, which may run on it" in done.sentence
    assert "added" in columns(database_url)


def test_this_version_refuses_a_schema_that_wants_newer_servers(database_url: str, tmp_path: Path) -> None:
    """Neither a server nor `migrate` goes on, and the sentence says which server would."""
    folder = newer_version(tmp_path, expansion(ADD), contraction(FIRST_NEW, DROP))
    migrate(database_url, folder=folder)
    migrate(database_url, folder=folder)
    for attempt in (check_schema, migrate):
        with pytest.raises(
            SchemaMismatch, match=f"at schema {SECOND_NEW}.*made for {NEWEST}.*{FIRST_NEW} at the least"
        ):
            attempt(database_url)
    assert check_schema(database_url, load_schemas(folder)) == Marks(SECOND_NEW, FIRST_NEW)


def test_a_contraction_waits_for_the_version_behind_the_one_that_expanded(database_url: str, tmp_path: Path) -> None:
    """One `migrate` takes nothing away that the version before uses; what is behind the contraction waits as well."""
    folder = newer_version(tmp_path, expansion(ADD), contraction(FIRST_NEW, DROP), expansion(ADD))
    first = migrate(database_url, folder=folder)
    assert first.marks == Marks(FIRST_NEW, OLDEST)
    assert first.waiting is not None
    assert f"schema {SECOND_NEW} waits" in first.sentence
    assert f"older than {FIRST_NEW}" in first.sentence
    check_schema(database_url)  # the version before may still be started
    second = migrate(database_url, folder=folder)
    assert (second.marks, second.waiting) == (Marks(THIRD_NEW, FIRST_NEW), None)


def test_a_new_server_does_not_wait_for_contractions_at_the_end(database_url: str, tmp_path: Path) -> None:
    """They may come when everything is rolled; an expansion that it needs may not."""
    trailing = load_schemas(newer_version(tmp_path / "a", expansion(ADD), contraction(FIRST_NEW, DROP)))
    with pytest.raises(SchemaMismatch, match=f"at schema {NEWEST}, this version needs {FIRST_NEW}: migrate it first"):
        check_schema(database_url, trailing)
    migrate(database_url, folder=newer_version(tmp_path / "b", expansion(ADD)))
    check_schema(database_url, trailing)


def test_an_empty_database_is_made_whole_at_once(empty_database_url: str, tmp_path: Path) -> None:
    """Nobody can miss anything there."""
    folder = newer_version(tmp_path, expansion(ADD), contraction(FIRST_NEW, DROP))
    assert migrate(empty_database_url, folder=folder).marks == Marks(SECOND_NEW, FIRST_NEW)
    assert "added" not in columns(empty_database_url)


async def test_a_contraction_waits_for_servers_that_still_run(
    postgres_url: str, open_database: OpenDatabase, tmp_path: Path
) -> None:
    """However often `migrate` is run: a server of this version is connected, and would miss the column."""
    folder = newer_version(tmp_path, expansion(ADD), contraction(FIRST_NEW, DROP))
    server = open_database(postgres_url)
    await server.ping()
    for _ in range(2):
        assert migrate(postgres_url, folder=folder).waiting is not None
    assert "added" in columns(postgres_url)
    server.close()
    assert migrate(postgres_url, folder=folder).waiting is None
    assert "added" not in columns(postgres_url)


async def test_a_server_that_runs_notices_that_it_may_not_any_more(
    database_url: str, open_database: OpenDatabase, tmp_path: Path
) -> None:
    """Its health check fails with the sentence that it would be refused with at its start."""
    watch = SchemaWatch(open_database(database_url))
    await watch.check()
    migrate(database_url, folder=newer_version(tmp_path, expansion(ADD)))
    await watch.check()
    assert watch.state is not None
    assert (watch.state.revision, watch.state.server_revision, watch.state.least_server_revision) == (
        FIRST_NEW,
        NEWEST,
        OLDEST,
    )
    run_sql(database_url, f"UPDATE schema_compatibility SET least_server = '{FIRST_NEW}'")  # noqa: S608 - ours
    with pytest.raises(DependencyUnavailable, match=f"newer servers: {FIRST_NEW} at the least"):
        await watch.check()


async def test_what_an_older_server_writes_meanwhile_is_whole(
    database_url: str, open_database: OpenDatabase, tmp_path: Path
) -> None:
    """Its connections are open while the schema grows: it publishes as before."""
    ledger = SqlUploadLedger(open_database(database_url))
    before = await publish(ledger, b"before")
    migrate(database_url, folder=newer_version(tmp_path, everything_expanded()))
    after = await publish(ledger, b"after")
    for published in (before, after):
        found = await ledger.get_with_document("alice", published.session.upload_id)
        assert found == (published.session, published.document)


async def test_repositories_work_on_a_schema_that_has_more_than_they_know(
    database_url: str, open_database: OpenDatabase, tmp_path: Path, sql: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Every method of every one, with columns and indexes added everywhere; what is new keeps its default."""
    migrate(database_url, folder=newer_version(tmp_path, everything_expanded()))
    await live(open_database(database_url))
    written = sql("SELECT DISTINCT added, added_number FROM documents")
    assert written == [{"added": None, "added_number": 7}]
