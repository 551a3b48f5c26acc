"""The domain's ports on SQL: PostgreSQL for a service of many replicas, SQLite for one machine."""

from ledgerlift_server.adapters.sql.documents import SqlDocuments
from ledgerlift_server.adapters.sql.engine import DatabaseOptions, connections
from ledgerlift_server.adapters.sql.inspection import DatabaseFacts, describe, inspect_database
from ledgerlift_server.adapters.sql.ledger import SqlUploadLedger
from ledgerlift_server.adapters.sql.maintenance import SqlMaintenance
from ledgerlift_server.adapters.sql.revisions import SchemaMismatch
from ledgerlift_server.adapters.sql.schema import Migrated, check_schema, migrate
from ledgerlift_server.adapters.sql.schema_watch import SchemaWatch
from ledgerlift_server.adapters.sql.transactions import Database

__all__ = [
    "Database",
    "DatabaseFacts",
    "DatabaseOptions",
    "connections",
    "describe",
    "inspect_database",
    "SqlUploadLedger",
    "SqlDocuments",
    "SqlMaintenance",
    "migrate",
    "check_schema",
    "Migrated",
    "SchemaWatch",
    "SchemaMismatch",
]
