"""What differs between PostgreSQL and SQLite when a transaction runs; everything else is one code."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


class Failure(Enum):
    """What an exception of the driver means for the transaction at hand."""

    AGAIN = "it lost against another transaction; the whole of it may be run again"
    TIMEOUT = "a statement or the wait for a lock took longer than it was allowed"
    UNAVAILABLE = "the database cannot be asked, or not be relied on"
    REFUSED_TEXT = "a string holds a character that the database cannot store"
    DEFECT = "the statement or the data is wrong: our own mistake"


class Flavour(Protocol):
    """One kind of database."""

    def attempt(self, *, write: bool, limit: float) -> AbstractContextManager[None]:
        """Around one attempt, connecting included, that may take `limit` seconds.

        Raises TimeoutError when its turn did not come.
        """

    def begin(self, connection: Connection, *, write: bool, limit: float) -> None:
        """Begin a transaction whose statements take no longer than `limit` seconds."""

    def commit(self, connection: Connection) -> None:
        """Make it durable."""

    def classify(self, error: DBAPIError) -> Failure:
        """What the driver's exception means."""
