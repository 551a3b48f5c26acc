"""What differs between PostgreSQL and SQLite when a transaction runs; everything else is one code."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


class Failure(Enum):
    """What an exception of the driver means for the transaction at hand."""

    AGAIN = "it lost against another transaction; the whole of it may be run again"
    LOST = "the connection broke, or none could be made; what was not committed is undone"
    SILENT = "the server said nothing until the time was over"
    TIMEOUT = "a statement or the wait for a lock took longer than it was allowed"
    UNAVAILABLE = "the database cannot be asked, or not be relied on"
    REFUSED = "the user lacks a right; so it goes until somebody grants it"
    REFUSED_TEXT = "a string holds a character that the database cannot store"
    DEFECT = "the statement or the data is wrong: our own mistake"


class Ending(Enum):
    """How a transaction ended whose COMMIT was not answered."""

    COMMITTED = "it is durable"
    UNDONE = "it certainly did not happen"
    OPEN = "the server has not ended it yet; ask again"
    UNKNOWN = "nobody can tell any more"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a transaction can be asked about by, should its COMMIT not be answered."""

    transaction: str
    incarnation: str | None
    """Of the server. Another one may have given the same number to another transaction."""


class Flavour(Protocol):
    """One kind of database."""

    def attempt(self, *, write: bool, limit: float) -> AbstractContextManager[None]:
        """Around one attempt, connecting included, that may take `limit` seconds.

        Raises TimeoutError when its turn did not come.
        """

    def begin(self, connection: Connection, *, write: bool, limit: float, turn: str | None) -> Mark | None:
        """Begin a transaction whose statements take no longer than `limit` seconds, when its `turn` has come.

        None: it reads only, or its COMMIT cannot go unanswered.
        """

    def commit(self, connection: Connection) -> None:
        """Make it durable."""

    def ending(self, connection: Connection, mark: Mark) -> Ending:
        """How the transaction ended that was begun on another connection, which was lost."""

    def classify(self, error: DBAPIError) -> Failure:
        """What the driver's exception means."""
