"""Whether this server may go on with the database: a migration that others make can end that at any time."""

from __future__ import annotations

import logging

from sqlalchemy import text

from ledgerlift_server.adapters.sql.revisions import Marks, SchemaMismatch, own_schemas
from ledgerlift_server.adapters.sql.transactions import Database, Transaction
from ledgerlift_server.domain.schema_state import SchemaState
from ledgerlift_server.errors import DependencyUnavailable

logger = logging.getLogger(__name__)

_MARKS = text(
    "SELECT (SELECT version_num FROM alembic_version) AS revision,"
    " (SELECT least_server FROM schema_compatibility) AS least_server"
)


class SchemaWatch:
    """The database's health check: it answers, and what it answers is that this server may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = own_schemas()
        self._seen: Marks | None = None

    @property
    def state(self) -> SchemaState | None:
        """As last seen; None before that."""
        seen = self._seen
        if seen is None:
            return None
        return SchemaState(seen.revision or "", self._known.newest, seen.least_server or "")

    async def check(self) -> None:
        """Look once. Raises as `Database.read` does, and DependencyUnavailable where the schema is not for us."""
        marks = await self._database.look("ping", _read_marks)
        if marks != self._seen:
            self._seen = marks
            state = self.state
            assert state is not None
            logger.info(
                "schema",
                extra={
                    "revision": state.revision,
                    "made_for": state.server_revision,
                    "least_server": state.least_server_revision,
                },
            )
        try:
            self._known.refuse_unfit(marks)
        except SchemaMismatch as mismatch:
            raise DependencyUnavailable(str(mismatch)) from mismatch


def _read_marks(transaction: Transaction) -> Marks:
    row = transaction.one(_MARKS)
    return Marks(row["revision"], row["least_server"])
