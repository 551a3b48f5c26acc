"""What the drivers' exceptions mean: decided by code, for nearly everything is an OperationalError."""

from __future__ import annotations

import sqlite3

import psycopg2
import pytest
from ledgerlift_server.adapters.sql.flavour import Failure
from ledgerlift_server.adapters.sql.postgresql import NoAnswer, PostgresFlavour
from ledgerlift_server.adapters.sql.sqlite import SqliteFlavour
from sqlalchemy.exc import DBAPIError


class _SqlState(psycopg2.OperationalError):
    """psycopg2's own attribute cannot be set."""

    def __init__(self, code: str | None) -> None:
        super().__init__("the driver's words")
        self.code = code

    @property
    def pgcode(self) -> str | None:  # type: ignore[override]  # read-only here, as it is there
        """SQLSTATE."""
        return self.code


@pytest.mark.parametrize(
    ("sqlstate", "meaning"),
    [
        ("40001", Failure.AGAIN),
        ("40P01", Failure.AGAIN),
        ("23505", Failure.AGAIN),
        ("57014", Failure.TIMEOUT),
        ("55P03", Failure.TIMEOUT),
        ("25P03", Failure.LOST),
        ("25006", Failure.UNAVAILABLE),
        ("57P01", Failure.LOST),
        ("57P02", Failure.LOST),
        ("57P04", Failure.UNAVAILABLE),
        ("57P03", Failure.LOST),
        ("08006", Failure.LOST),
        ("53300", Failure.LOST),
        ("53100", Failure.UNAVAILABLE),
        ("28P01", Failure.UNAVAILABLE),
        ("3D000", Failure.UNAVAILABLE),
        ("58030", Failure.UNAVAILABLE),
        ("XX001", Failure.UNAVAILABLE),
        (None, Failure.LOST),
        ("22021", Failure.REFUSED_TEXT),
        ("22P05", Failure.REFUSED_TEXT),
        ("42P01", Failure.DEFECT),
        ("23503", Failure.DEFECT),
        ("22012", Failure.DEFECT),
    ],
)
def test_what_a_sqlstate_means(sqlstate: str | None, meaning: Failure) -> None:
    """Nothing is decided by the class of the exception or by its words."""
    error = DBAPIError("SELECT 1", {}, _SqlState(sqlstate))
    assert PostgresFlavour(1.0, 1.0).classify(error) is meaning


def test_silence_is_not_a_lost_connection() -> None:
    """What it was asked to do may be happening; and to ask again would only take as long again."""
    error = DBAPIError("SELECT 1", {}, NoAnswer("no answer in time"), connection_invalidated=True)
    assert PostgresFlavour(1.0, 1.0).classify(error) is Failure.SILENT


def test_an_exception_without_a_sqlstate_that_is_no_lost_connection_is_a_defect() -> None:
    """Such as a parameter that psycopg2 cannot adapt."""
    error = DBAPIError("SELECT 1", {}, psycopg2.ProgrammingError("can't adapt type"))
    assert PostgresFlavour(1.0, 1.0).classify(error) is Failure.DEFECT


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (sqlite3.SQLITE_BUSY, Failure.TIMEOUT),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Failure.TIMEOUT),
        (sqlite3.SQLITE_INTERRUPT, Failure.TIMEOUT),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, Failure.AGAIN),
        (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, Failure.AGAIN),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, Failure.DEFECT),
        (sqlite3.SQLITE_FULL, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_IOERR_FSYNC, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_READONLY_DBMOVED, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_CORRUPT, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_CANTOPEN, Failure.UNAVAILABLE),
        (sqlite3.SQLITE_ERROR, Failure.DEFECT),
        (None, Failure.DEFECT),
    ],
)
def test_what_a_result_code_means(code: int | None, meaning: Failure) -> None:
    """By the primary code, where an extended one says nothing else."""
    cause = sqlite3.OperationalError("the driver's words")
    if code is not None:
        cause.sqlite_errorcode = code
    assert SqliteFlavour(1.0).classify(DBAPIError("SELECT 1", {}, cause)) is meaning
