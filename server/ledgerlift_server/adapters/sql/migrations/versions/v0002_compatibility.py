"""The database says which servers may run on it: one row, written by `adapters/sql/schema.py`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.sql import column, table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
phase = "expand"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Servers made for 0001 do not look at it."""
    op.create_table(
        "schema_compatibility",
        sa.Column("least_server", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("least_server", name="schema_compatibility_pkey"),
    )
    op.bulk_insert(table("schema_compatibility", column("least_server")), [{"least_server": "0001"}])
