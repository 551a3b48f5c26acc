"""What a look at a database says of a failure."""

from __future__ import annotations

import psycopg2
import pytest
from ledgerlift_server.adapters.sql.inspection import _sentence, describe
from ledgerlift_server.adapters.sql.postgresql import NoAnswer
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError


@pytest.mark.parametrize("url", ["postgresql://app:hunter2@db/ledger", "postgresql://app@db/ledger?password=hunter2"])
def test_a_password_is_not_repeated(url: str) -> None:
    """Whatever a driver, or what stands behind it, may say one day; its first line is enough."""
    driver = psycopg2.OperationalError('connection to "db" failed: no user app with hunter2\nDETAIL: hunter2')
    assert _sentence(OperationalError("", {}, driver), make_url(url)) == (
        'connection to "db" failed: no user app with ***'
    )
    assert "hunter2" not in describe(url)


def test_silence_is_said() -> None:
    """The driver has no words for it."""
    silent = OperationalError("", {}, NoAnswer("no answer in time"))
    assert _sentence(silent, make_url("postgresql://db/ledger")) == "no answer in time"
