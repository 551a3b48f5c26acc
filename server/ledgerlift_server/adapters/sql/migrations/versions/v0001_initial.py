"""Sessions, parts, blobs, documents, the audit trail, the outbox and leases."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A migration keeps its own spelling of the types: `types.py` may move on.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.BigInteger().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
FACTS = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From an empty database."""
    op.create_table(
        "blobs",
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("object_name", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("documents > 0", name="blobs_documents_check"),
        sa.PrimaryKeyConstraint("owner", "sha256", name="blobs_pkey"),
    )
    op.create_index("blobs_object_name_key", "blobs", ["object_name"], unique=True)
    op.create_table(
        "event_era",
        sa.Column("era", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("era", name="event_era_pkey"),
    )
    op.create_table(
        "events",
        sa.Column("era", sa.Integer(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("event_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("document_id", TEXT, nullable=True),
        sa.Column("upload_id", TEXT, nullable=True),
        sa.Column("from_status", TEXT, nullable=True),
        sa.Column("to_status", TEXT, nullable=True),
        sa.Column("detail", FACTS, nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="events_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "events_by_document",
        "events",
        ["owner", "document_id", "era", "xid", "id"],
        **_only("document_id IS NOT NULL"),
    )
    op.create_index(
        "events_by_upload", "events", ["owner", "upload_id", "era", "xid", "id"], **_only("upload_id IS NOT NULL")
    )
    op.create_index(
        "events_idempotency_key",
        "events",
        ["owner", "idempotency_key"],
        unique=True,
        **_only("idempotency_key IS NOT NULL"),
    )
    op.create_index("events_in_order", "events", ["owner", "era", "xid", "id"])
    op.create_table(
        "leases",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("holder", TEXT, nullable=False),
        sa.Column("expire_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="leases_pkey"),
    )
    op.create_table(
        "removals",
        sa.Column("removal_id", SERIAL, nullable=False),
        sa.Column("object_name", TEXT, nullable=False),
        sa.Column("multipart_id", TEXT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("removal_id", name="removals_pkey"),
        sqlite_autoincrement=True,
    )
    op.create_index("removals_due", "removals", ["due_time", "removal_id"])
    op.create_index("removals_object_name", "removals", ["object_name"])
    op.create_table(
        "sessions",
        sa.Column("upload_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("filename", TEXT, nullable=False),
        sa.Column("content_type", TEXT, nullable=False),
        sa.Column("declared_size", sa.BigInteger(), nullable=True),
        sa.Column("declared_sha256", TEXT, nullable=True),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("metadata", FACTS, nullable=False),
        sa.Column("duplicate_policy", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=True),
        sa.Column("opened_by", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("part_size", sa.BigInteger(), nullable=False),
        sa.Column("persisted_size", sa.BigInteger(), nullable=False),
        sa.Column("part_count", sa.Integer(), nullable=False),
        sa.Column("sha_state", sa.LargeBinary(), nullable=True),
        sa.Column("object_name", TEXT, nullable=False),
        sa.Column("multipart_id", TEXT, nullable=True),
        sa.Column("lifetime", sa.Float(precision=53), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.Column("expire_time", TIME, nullable=False),
        sa.Column("final_size", sa.BigInteger(), nullable=True),
        sa.Column("final_sha256", TEXT, nullable=True),
        sa.Column("final_object", TEXT, nullable=True),
        sa.Column("document_id", TEXT, nullable=True),
        sa.Column("duplicate", sa.Boolean(), nullable=False),
        sa.Column("receipt_bytes_received", sa.BigInteger(), nullable=False),
        sa.Column("receipt_bytes_skipped", sa.BigInteger(), nullable=False),
        sa.Column("receipt_part_count", sa.Integer(), nullable=False),
        sa.Column("receipt_sha256", TEXT, nullable=False),
        sa.Column("error_reason", TEXT, nullable=True),
        sa.Column("error_message", TEXT, nullable=False),
        sa.Column("error_document_id", TEXT, nullable=True),
        sa.CheckConstraint("persisted_size >= 0", name="sessions_size_check"),
        sa.PrimaryKeyConstraint("upload_id", name="sessions_pkey"),
    )
    op.create_index(
        "sessions_by_request_id",
        "sessions",
        ["owner", "request_id", "create_time", "upload_id"],
        **_only("request_id IS NOT NULL"),
    )
    op.create_index("sessions_by_state", "sessions", ["owner", "state", "create_time", "upload_id"])
    op.create_index("sessions_committing", "sessions", ["update_time", "upload_id"], **_only("state = 'COMMITTING'"))
    op.create_index(
        "sessions_ended",
        "sessions",
        ["update_time"],
        **_only("state IN ('COMMITTED', 'FAILED', 'CANCELLED', 'EXPIRED')"),
    )
    op.create_index("sessions_expiring", "sessions", ["expire_time"], **_only("state = 'ACTIVE'"))
    op.create_index("sessions_newest", "sessions", ["owner", "create_time", "upload_id"])
    op.create_index(
        "sessions_request_id_key",
        "sessions",
        ["owner", "request_id"],
        unique=True,
        **_only("request_id IS NOT NULL AND state IN ('ACTIVE', 'COMMITTING', 'COMMITTED')"),
    )
    op.create_index(
        "sessions_unfinished_object", "sessions", ["object_name"], **_only("state IN ('ACTIVE', 'COMMITTING')")
    )
    op.create_table(
        "documents",
        sa.Column("document_id", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("filename", TEXT, nullable=False),
        sa.Column("content_type", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("metadata", FACTS, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("error_message", TEXT, nullable=False),
        sa.Column("object_name", TEXT, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.ForeignKeyConstraint(["owner", "sha256"], ["blobs.owner", "blobs.sha256"], name="documents_blob_fkey"),
        sa.PrimaryKeyConstraint("document_id", name="documents_pkey"),
    )
    op.create_index("documents_by_content_type", "documents", ["owner", "content_type", "create_time", "document_id"])
    op.create_index("documents_by_sha256", "documents", ["owner", "sha256", "create_time", "document_id"])
    op.create_index("documents_by_status", "documents", ["owner", "status", "create_time", "document_id"])
    op.create_index("documents_key_key", "documents", ["owner", "key"], unique=True, **_only("key IS NOT NULL"))
    op.create_index("documents_newest", "documents", ["owner", "create_time", "document_id"])
    op.create_table(
        "parts",
        sa.Column("upload_id", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("etag", TEXT, nullable=False),
        sa.Column("crc32c", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["sessions.upload_id"], name="parts_upload_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name="parts_pkey"),
    )
    op.execute("INSERT INTO event_era (era) VALUES (0)")


def _only(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}
