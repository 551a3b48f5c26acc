"""Every question is answered from an index, in its order: the cost follows the page, not the table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from ledgerlift_server.adapters.sql import Database, SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.adapters.sql.paging import PageTokens, time_and_id
from ledgerlift_server.adapters.sql.tables import blobs, documents, events, parts, removals, sessions
from ledgerlift_server.adapters.sql.types import EPOCH, to_microseconds
from ledgerlift_server.domain.models import DocumentFilter, EventFilter, ProcessingStatus
from ledgerlift_server.domain.upload_models import UploadFilter, UploadState
from sqlalchemy import event, text

from tests.support.databases import OpenDatabase
from tests.support.uploads import caller, digest, new_session

ROWS = 6000
"""Enough that a planner which may choose does not choose to read everything."""
START = EPOCH + timedelta(days=20_000)

WHOLE = re.compile(r"Seq Scan on (?!event_era)|^SCAN (?!event_era)")
"""A table or an index read from end to end, as either database puts it; `event_era` has one row."""
SORTS = ("Sort", "TEMP B-TREE FOR ORDER BY")


def _digest(number: int) -> str:
    return digest(b"%d" % number)


def _fill(database: Database) -> None:
    moments = [START + timedelta(seconds=number) for number in range(ROWS)]
    session = {
        "filename": "a", "content_type": "text/plain", "metadata": {}, "duplicate_policy": "REJECT", "opened_by": "r",
        "epoch": 1, "part_size": 64, "persisted_size": 0, "part_count": 0, "lifetime": 60.0, "duplicate": False,
        "receipt_bytes_received": 0, "receipt_bytes_skipped": 0, "receipt_part_count": 0, "receipt_sha256": "",
        "error_message": "",
    }  # fmt: skip
    states = ("ACTIVE", "COMMITTING", "CANCELLED", *["COMMITTED"] * 97)
    with database._engine.begin() as connection:
        connection.execute(
            blobs.insert(),
            [
                {"owner": "alice", "sha256": _digest(n), "object_name": f"o/{n}", "size": 1, "documents": 1}
                for n in range(ROWS)
            ],
        )
        connection.execute(
            documents.insert(),
            [
                {
                    "document_id": f"d-{n:08}", "owner": "alice", "filename": "a", "size": 1, "sha256": _digest(n),
                    "content_type": "text/plain" if n % 50 else "text/csv", "key": f"k/{n:08}", "metadata": {},
                    "status": "UPLOADED" if n % 50 else "FAILED", "error_message": "", "object_name": f"o/{n}",
                    "create_time": moment, "update_time": moment,
                }
                for n, moment in enumerate(moments)
            ],
        )  # fmt: skip
        connection.execute(
            sessions.insert(),
            [
                session
                | {
                    "upload_id": f"u-{n:08}", "owner": "alice", "request_id": f"r-{n}", "object_name": f"s/{n}",
                    "state": states[n % len(states)], "document_id": f"d-{n:08}",
                    "create_time": moment, "update_time": moment, "expire_time": moment,
                }
                for n, moment in enumerate(moments)
            ],
        )  # fmt: skip
        connection.execute(
            parts.insert(),
            [{"upload_id": f"u-{n:08}", "number": 1, "size": 64, "etag": "e", "crc32c": 1} for n in range(ROWS)],
        )
        connection.execute(
            events.insert(),
            [
                {
                    "era": 0, "xid": 1, "event_id": f"e-{n}", "owner": "alice", "type": "seen", "actor": "alice",
                    "request_id": "r", "create_time": moment, "document_id": f"d-{n:08}", "upload_id": f"u-{n:08}",
                    "detail": {}, "idempotency_key": f"k-{n}",
                }
                for n, moment in enumerate(moments)
            ],
        )  # fmt: skip
        connection.execute(
            removals.insert(),
            [{"object_name": f"o/{n}", "attempts": 0, "due_time": moment} for n, moment in enumerate(moments)],
        )
        if database._engine.name == "postgresql":  # where autovacuum does it; SQLite plans without statistics
            connection.execute(text("ANALYZE"))


async def _asked(database: Database, question: Callable[[], Awaitable[object]]) -> list[tuple[str, Any]]:
    """The statements that a question sends, with their parameters; none of them is a transaction's begin or end."""
    sent: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, _many: bool) -> None:
        if statement.lstrip().split()[0] in ("SELECT", "UPDATE", "DELETE"):
            sent.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", note)
    try:
        await question()
    finally:
        event.remove(database._engine, "before_cursor_execute", note)
    return sent


def _plan(database: Database, statement: str, parameters: Any) -> str:
    prefix = "EXPLAIN QUERY PLAN " if database._engine.name == "sqlite" else "EXPLAIN "
    with database._engine.connect() as connection:
        rows = connection.exec_driver_sql(prefix + statement, parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


async def test_every_question_is_served_by_an_index(open_database: OpenDatabase, database_url: str) -> None:
    """No plan reads a whole table, and no list sorts what it has read."""
    database = open_database(database_url)
    _fill(database)
    ledger, docs, janitor = SqlUploadLedger(database), SqlDocuments(database), SqlMaintenance(database)
    middle = START + timedelta(seconds=ROWS // 2)

    def documents_page(where: DocumentFilter) -> Callable[[], Awaitable[object]]:
        tokens = PageTokens(time_and_id, "documents", "alice", where)
        token = tokens.encode(to_microseconds(middle), "d-00003000")
        return lambda: docs.list("alice", where, page_size=20, page_token=token)

    def sessions_page(where: UploadFilter) -> Callable[[], Awaitable[object]]:
        tokens = PageTokens(time_and_id, "uploads", "alice", where)
        token = tokens.encode(to_microseconds(middle), "u-00003000")
        return lambda: ledger.list("alice", where, page_size=20, page_token=token)

    def trail(where: EventFilter) -> Callable[[], Awaitable[object]]:
        return lambda: docs.events_after("alice", where, "MC8xLzMwMDA", limit=20)

    new = new_session(size=1, sha256=_digest(5), request_id="r-5", key="k/00000005")
    in_order: dict[str, Callable[[], Awaitable[object]]] = {
        "documents": documents_page(DocumentFilter()),
        "documents by status": documents_page(DocumentFilter(status=ProcessingStatus.FAILED)),
        "documents by media type": documents_page(DocumentFilter(content_type="text/csv")),
        "documents by time": documents_page(DocumentFilter(created_after=START, created_before=middle)),
        "documents by several": documents_page(DocumentFilter(ProcessingStatus.FAILED, "text/csv", None, START)),
        "sessions": sessions_page(UploadFilter()),
        "sessions by state": sessions_page(UploadFilter(state=UploadState.CANCELLED)),
        "trail": trail(EventFilter()),
        "trail of a document": trail(EventFilter(document_id="d-00004000")),
        "trail of an upload": trail(EventFilter(upload_id="u-00004000")),
        "listed trail": lambda: docs.list_events("alice", EventFilter(), page_size=20, page_token=""),
        "parts": lambda: ledger.parts("u-00000007"),
        "idle commits": lambda: janitor.committing(idle=60, limit=20),
        "due removals": lambda: janitor.due_removals(limit=20),
        "blob objects": lambda: janitor.blob_objects(after="o/5", limit=20),
    }
    by_index: dict[str, Callable[[], Awaitable[object]]] = {
        "documents by key": documents_page(DocumentFilter(key_prefix="k/000012")),
        "sessions by request id": sessions_page(UploadFilter(request_id="r-7")),
        "digests": lambda: docs.find_digests("alice", [_digest(n) for n in range(10)]),
        "pulse": lambda: ledger.pulse([f"u-{n:08}" for n in range(10)]),
        "open": lambda: ledger.open(new, caller()),
        "open known bytes": lambda: ledger.open(new_session(size=1, sha256=_digest(6), key="k/00000006"), caller()),
        "status": lambda: docs.set_status(caller(), "d-00000007", ProcessingStatus.PROCESSING, "", "k-x"),
        "delete": lambda: docs.delete(caller(), "d-00000009"),
        "delete again": lambda: docs.delete(caller(), "d-00000009"),
        "known objects": lambda: janitor.known_objects([f"o/{n}" for n in range(10)]),
        "known multiparts": lambda: janitor.known_multiparts([(f"s/{n}", "m") for n in range(10)]),
        "expire": lambda: janitor.expire_due(limit=5),
        "forget": lambda: janitor.forget_ended(older_than=60, limit=5),
    }
    problems: list[str] = []
    for name, question in (in_order | by_index).items():
        asked = await _asked(database, question)
        assert asked, name
        for statement, parameters in asked:
            plan = _plan(database, statement, parameters)
            whole = [line for line in plan.splitlines() if WHOLE.search(line)]
            sorts = name in in_order and any(sort in plan for sort in SORTS)
            if whole or sorts:
                problems.append(f"{name}: {statement}\n{plan}")
    assert not problems, "\n\n".join(problems)
