"""The tables, as SQLAlchemy Core sees them. `migrations/` makes them; a test compares the two.

sessions 1──n parts           what an upload has made durable so far
blobs    1──n documents       who uses which stored object
events                        the audit trail; never changed, never removed
removals                      the outbox: what is to be removed from the object store
leases                        which replica is the janitor
event_era                     one row, see `events.py`
schema_compatibility          one row, see `revisions.py`
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    text,
)

from ledgerlift_server.adapters.sql.types import Facts, Serial, String, Time

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)

# Conditions of partial indexes. Queries use the very same text: SQLite takes an index only when it sees that the
# query implies the condition, and it cannot see that through a parameter.
ACTIVE = "state = 'ACTIVE'"
COMMITTING = "state = 'COMMITTING'"
UNFINISHED = "state IN ('ACTIVE', 'COMMITTING')"
LIVE = "state IN ('ACTIVE', 'COMMITTING', 'COMMITTED')"
ENDED = "state IN ('COMMITTED', 'FAILED', 'CANCELLED', 'EXPIRED')"


def _only(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


sessions = Table(
    "sessions",
    metadata,
    Column("upload_id", String, primary_key=True),
    Column("owner", String, nullable=False),
    # What the uploader said.
    Column("filename", String, nullable=False),
    Column("content_type", String, nullable=False),
    Column("declared_size", BigInteger),
    Column("declared_sha256", String),
    Column("key", String),
    Column("metadata", Facts, nullable=False),
    Column("duplicate_policy", String, nullable=False),
    Column("request_id", String),
    # Which call opened it, for the events that nobody's call causes.
    Column("opened_by", String, nullable=False),
    # Who holds it and how far it is.
    Column("state", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("part_size", BigInteger, nullable=False),
    Column("persisted_size", BigInteger, nullable=False),
    Column("part_count", Integer, nullable=False),
    Column("sha_state", LargeBinary),
    Column("object_name", String, nullable=False),
    Column("multipart_id", String),
    Column("lifetime", Float(53), nullable=False),
    Column("create_time", Time, nullable=False),
    Column("update_time", Time, nullable=False),
    Column("expire_time", Time, nullable=False),
    # How it ended.
    Column("final_size", BigInteger),
    Column("final_sha256", String),
    Column("final_object", String),
    Column("document_id", String),
    Column("duplicate", Boolean, nullable=False),
    Column("receipt_bytes_received", BigInteger, nullable=False),
    Column("receipt_bytes_skipped", BigInteger, nullable=False),
    Column("receipt_part_count", Integer, nullable=False),
    Column("receipt_sha256", String, nullable=False),
    Column("error_reason", String),
    Column("error_message", String, nullable=False),
    Column("error_document_id", String),
    CheckConstraint("persisted_size >= 0", name="size_check"),
    Index(
        "sessions_request_id_key", "owner", "request_id", unique=True, **_only(f"request_id IS NOT NULL AND {LIVE}")
    ),
    Index("sessions_newest", "owner", "create_time", "upload_id"),
    Index("sessions_by_state", "owner", "state", "create_time", "upload_id"),
    Index(
        "sessions_by_request_id", "owner", "request_id", "create_time", "upload_id", **_only("request_id IS NOT NULL")
    ),
    Index("sessions_expiring", "expire_time", **_only(ACTIVE)),
    Index("sessions_committing", "update_time", "upload_id", **_only(COMMITTING)),
    Index("sessions_ended", "update_time", **_only(ENDED)),
    Index("sessions_unfinished_object", "object_name", **_only(UNFINISHED)),
)

parts = Table(
    "parts",
    metadata,
    Column("upload_id", String, ForeignKey("sessions.upload_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("size", BigInteger, nullable=False),
    Column("etag", String, nullable=False),
    Column("crc32c", BigInteger, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("owner", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Column("object_name", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("documents", BigInteger, nullable=False),
    CheckConstraint("documents > 0", name="documents_check"),
    Index("blobs_object_name_key", "object_name", unique=True),
)

documents = Table(
    "documents",
    metadata,
    Column("document_id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("content_type", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String, nullable=False),
    Column("key", String),
    Column("metadata", Facts, nullable=False),
    Column("status", String, nullable=False),
    Column("error_message", String, nullable=False),
    Column("object_name", String, nullable=False),
    Column("create_time", Time, nullable=False),
    Column("update_time", Time, nullable=False),
    ForeignKeyConstraint(["owner", "sha256"], ["blobs.owner", "blobs.sha256"], name="documents_blob_fkey"),
    Index("documents_key_key", "owner", "key", unique=True, **_only("key IS NOT NULL")),
    Index("documents_newest", "owner", "create_time", "document_id"),
    Index("documents_by_status", "owner", "status", "create_time", "document_id"),
    Index("documents_by_content_type", "owner", "content_type", "create_time", "document_id"),
    Index("documents_by_sha256", "owner", "sha256", "create_time", "document_id"),
)

events = Table(
    "events",
    metadata,
    Column("era", Integer, nullable=False),
    Column("xid", BigInteger, nullable=False),
    Column("id", Serial, primary_key=True),
    Column("event_id", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("type", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("create_time", Time, nullable=False),
    Column("document_id", String),
    Column("upload_id", String),
    Column("from_status", String),
    Column("to_status", String),
    Column("detail", Facts, nullable=False),
    Column("idempotency_key", String),
    Index("events_in_order", "owner", "era", "xid", "id"),
    Index("events_by_document", "owner", "document_id", "era", "xid", "id", **_only("document_id IS NOT NULL")),
    Index("events_by_upload", "owner", "upload_id", "era", "xid", "id", **_only("upload_id IS NOT NULL")),
    Index("events_idempotency_key", "owner", "idempotency_key", unique=True, **_only("idempotency_key IS NOT NULL")),
    sqlite_autoincrement=True,
)

event_era = Table("event_era", metadata, Column("era", Integer, primary_key=True, autoincrement=False))

removals = Table(
    "removals",
    metadata,
    Column("removal_id", Serial, primary_key=True),
    Column("object_name", String, nullable=False),
    Column("multipart_id", String),
    Column("attempts", Integer, nullable=False),
    Column("due_time", Time, nullable=False),
    Index("removals_due", "due_time", "removal_id"),
    Index("removals_object_name", "object_name"),
    sqlite_autoincrement=True,
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("expire_time", Time, nullable=False),
)

schema_compatibility = Table("schema_compatibility", metadata, Column("least_server", String, primary_key=True))
