"""`revisions.py`: what migrations say of themselves, and who may run on what."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledgerlift_server.adapters.sql.revisions import (
    KnownSchemas,
    Marks,
    Revision,
    SchemaMismatch,
    load_schemas,
    own_schemas,
)

from tests.support.migrations import FIRST_NEW, SECOND_NEW, contraction, expansion, newer_version

EXPANDED = (Revision("0001", False, "0001"), Revision("0002", False, "0001"))
CONTRACTED = (*EXPANDED, Revision("0003", True, "0002"))
LATER = (*CONTRACTED, Revision("0004", False, "0002"))


def fits(known: tuple[Revision, ...], revision: str | None, least_server: str | None) -> bool:
    """Whether a server that knows these may run on a database with these marks."""
    try:
        KnownSchemas(known).refuse_unfit(Marks(revision, least_server))
    except SchemaMismatch:
        return False
    return True


@pytest.mark.parametrize(
    ("known", "revision", "least_server", "expected"),
    [
        (EXPANDED, None, None, False),  # empty
        (EXPANDED, "0001", None, False),  # older than needed
        (EXPANDED, "0002", "0001", True),
        (EXPANDED, "0009", "0001", True),  # newer, expanded only
        (EXPANDED, "0009", "0002", True),  # contracted, and not for us
        (EXPANDED, "0009", "0003", False),
        (EXPANDED, "0009", None, False),  # not of ours
        (CONTRACTED, "0002", "0001", True),  # the contraction may come later
        (CONTRACTED, "0003", "0002", True),
        (LATER, "0002", "0001", False),
        (LATER, "0003", "0002", False),
        (LATER, "0004", "0002", True),
    ],
)
def test_who_may_run_on_what(
    known: tuple[Revision, ...], revision: str | None, least_server: str | None, expected: bool
) -> None:
    """Known and new enough, or unknown and content with one that is known."""
    assert fits(known, revision, least_server) is expected


def test_the_least_server_is_handed_on(tmp_path: Path) -> None:
    """An expansion keeps it, a contraction raises it."""
    known = load_schemas(newer_version(tmp_path, expansion(), contraction(FIRST_NEW), expansion()))
    assert [one.least_server for one in known.revisions[-3:]] == ["0001", FIRST_NEW, FIRST_NEW]
    assert known.revisions[:-3] == own_schemas().revisions


@pytest.mark.parametrize(
    "phase",
    ["", 'phase = "both"', 'phase = "contract"', 'phase = "expand"\nleast_server = "0001"'],
    ids=["none", "unknown", "contraction without its least server", "expansion with one"],
)
def test_a_migration_that_does_not_say_its_phase_is_refused(tmp_path: Path, phase: str) -> None:
    """Nobody can tell who may run behind it."""
    with pytest.raises(ValueError, match=f"migration {SECOND_NEW}"):
        load_schemas(newer_version(tmp_path, expansion(), (phase, ())))
