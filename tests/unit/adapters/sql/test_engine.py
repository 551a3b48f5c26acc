"""From a URL to a driver, and how many connections that makes."""

from __future__ import annotations

import pytest
from ledgerlift_server.adapters.sql import DatabaseOptions, connections
from ledgerlift_server.adapters.sql.engine import SQLITE_CONNECTIONS, normalise


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_postgresql_means_psycopg2(scheme: str) -> None:
    """SQLAlchemy 2.1 would take the plain scheme for psycopg 3; everything else of the URL stays."""
    url = normalise(f"{scheme}://me:s%40cret@db:5433/ledger?sslmode=require")
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg2://me:s%40cret@db:5433/ledger?sslmode=require"
    )


def test_sqlite_has_to_be_a_file() -> None:
    """What is acknowledged must outlive the process."""
    assert normalise("sqlite:///data/ledger.db").database == "data/ledger.db"
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match="has to be a file"):
            normalise(url)


@pytest.mark.parametrize("url", ["mysql://me:s3cret@db/x", "postgresql+psycopg://me:s3cret@db/x", "me:s3cret@", ""])
def test_another_database_is_refused_without_its_secrets(url: str) -> None:
    """The message may end up in a log."""
    with pytest.raises(ValueError, match="database") as refused:
        normalise(url)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("rest", "said"), [("db:99999/x", "a port"), ("db/x?sslmod=require", "an option"), ("db/x?s3cret=1", "an option")]
)
def test_what_the_client_would_refuse_is_told_before_it_is_asked(rest: str, said: str) -> None:
    """No server waits a minute for a database that there cannot be, and none ends with a traceback."""
    with pytest.raises(ValueError, match=f"the database URL .* {said}") as refused:
        normalise(f"postgresql://me:s3cret@{rest}")
    assert "s3cret" not in str(refused.value)


def test_the_bulkhead_is_as_large_as_the_pool() -> None:
    """Pool and overflow of PostgreSQL; of SQLite a handful, whatever is set."""
    options = DatabaseOptions(pool_size=3, max_overflow=4)
    assert connections("postgresql://db/x", options) == 7
    assert connections("sqlite:///x.db", options) == SQLITE_CONNECTIONS
