"""Today's migrations, held against schemas as they landed, with rows in them."""

from __future__ import annotations

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlUploadLedger, check_schema, migrate
from ledgerlift_server.adapters.sql.revisions import MIGRATIONS, own_schemas
from ledgerlift_server.domain.models import DocumentFilter
from ledgerlift_server.domain.upload_models import UploadFilter, UploadState

from tests.support.databases import OpenDatabase, run_sql
from tests.support.landed import load, recorded
from tests.support.migrations import step_to
from tests.support.repository_life import OWNER
from tests.support.schema_shape import narrowings, shape_of

NAMES = [revision.name for revision in own_schemas().revisions]


def test_what_landed_before_the_newest_migration_is_recorded() -> None:
    """Whoever adds a migration records the schema before it: `python -m tests.support.landed`."""
    assert set(NAMES[:-1]) <= set(recorded()) <= set(NAMES)


@pytest.mark.parametrize("revision", recorded())
def test_a_landed_migration_is_never_edited(revision: str, empty_database_url: str) -> None:
    """Made anew by today's migrations, the schema has what the recorded one has, and nothing else."""
    step_to(empty_database_url, revision)
    made = shape_of(empty_database_url)
    for name in made:
        run_sql(empty_database_url, f"DROP TABLE {name} {'' if 'sqlite' in empty_database_url else 'CASCADE'}")
    load(empty_database_url, revision)
    assert shape_of(empty_database_url) == made


@pytest.mark.parametrize("revision", recorded()[-1:])
async def test_the_newest_landed_schema_is_expanded(
    revision: str, empty_database_url: str, open_database: OpenDatabase
) -> None:
    """Step by step: no expansion takes anything away that servers of the revision before rely on, and every
    contraction leaves what servers of the landed one use. Then this version works with what was there.
    """
    load(empty_database_url, revision)
    known = own_schemas()
    before = shape_of(empty_database_url)
    for step in known.after(revision):
        step_to(empty_database_url, step.name)
        after = shape_of(empty_database_url)
        if step.contracts:
            assert not known.is_older(revision, step.least_server), f"{step.name} ends what has just landed"
        else:
            assert narrowings(before, after) == [], f"{step.name} says that it is an expansion"
        before = after
    migrate(empty_database_url)
    assert check_schema(empty_database_url).revision == NAMES[-1]
    database = open_database(empty_database_url)
    sessions = await SqlUploadLedger(database).list(OWNER, UploadFilter(), page_size=100, page_token="")
    assert {session.state for session in sessions.items} == set(UploadState)
    documents = await SqlDocuments(database).list(OWNER, DocumentFilter(), page_size=100, page_token="")
    assert len(documents.items) == 2


def test_every_migration_says_its_phase() -> None:
    """The template of a new one does, too."""
    assert [name for name in NAMES[1:] if "\nphase = " not in _source(name)] == []
    assert '\nphase = "expand"\n' in (MIGRATIONS / "script.py.mako").read_text()


def _source(revision: str) -> str:
    (module,) = (MIGRATIONS / "versions").glob(f"v{revision}_*.py")
    return module.read_text()
