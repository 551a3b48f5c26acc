"""Which schema the database is at, and which one this server was made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemaState:
    """As last seen. Revisions have an order that only the newest version knows; they are names here."""

    revision: str
    """Of the database."""
    server_revision: str
    """That this server is made for."""
    least_server_revision: str
    """That a server has to be made for, at the least, to run on this database."""
