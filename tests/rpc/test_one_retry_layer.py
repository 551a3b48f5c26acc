"""What failed for a moment is tried again by one layer: the transaction's, or where that cannot, the call's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code
from ledgerlift.v1 import document_service_pb2 as documents_pb
from sqlalchemy import create_engine, text

from tests.support.captured_log import Entries, listening_for
from tests.support.commit_wire import CommitWire, Cut
from tests.support.postgres import PostgresServer
from tests.support.raw_calls import documents, store
from tests.support.refusals import Refusal, outcome
from tests.support.server import in_process_server

QUIET = {"janitor_interval": 3600.0, "health_cache_ttl": 3600.0, "db_failure_threshold": 1000}
"""Nobody else asks the database anything while a test counts."""


@asynccontextmanager
async def serving(folder: Path, url: str, **settings: Any) -> AsyncIterator[tuple[Any, str]]:
    """The stub of DocumentService, and the id of a document."""
    async with (
        in_process_server(folder, database_url=url, **(QUIET | settings)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield documents(channel), (await store(channel, b"x")).document.document_id


def told(log: Entries, method: str) -> tuple[int, int | None, str]:
    """Of the one call of this method: how often it was made again, its last attempt, and its code."""
    (ended,) = [one for one in log() if one["event"] == "call_ended" and one["method"].endswith(f"/{method}")]
    again = [one for one in log() if one["event"] == "call_retried" and one["request_id"] == ended["request_id"]]
    return len(again), ended.get("attempt"), ended["code"]


CRASHES: dict[str, tuple[Cut, bool, set[int | None]]] = {
    # What becomes of the COMMIT, whether the server crashes, the attempt of the call that is answered.
    "committed, and PostgreSQL says so": (Cut.DELIVERED, False, {None}),
    "not committed, and PostgreSQL says so": (Cut.SWALLOWED, False, {None}),
    "committed, and nobody can say": (Cut.DELIVERED, True, {2}),
    # Or nobody can say, if another transaction got its number first.
    "not committed, and PostgreSQL has forgotten it": (Cut.HALF_OPEN, True, {None, 2}),
}


@pytest.mark.parametrize("case", CRASHES)
async def test_a_lost_commit_is_settled_by_one_layer(tmp_path: Path, case: str, log: Entries) -> None:
    """The caller sees that it worked, and it was recorded once; the call is made again only where nobody can tell."""
    cut, crash, expected = CRASHES[case]
    with (
        PostgresServer.temporary(wal_writer_delay="10s", autovacuum="off") as postgres,
        CommitWire(f"127.0.0.1:{postgres.port}") as wire,
    ):
        name = postgres.create_database()

        def crash_it() -> None:
            postgres.kill()
            postgres.start()

        url = f"postgresql://ledgerlift@{wire.address}/{name}"
        async with serving(tmp_path, url) as (stub, document_id):
            wire.arm(cut, crash_it if crash else lambda: None, of=b"'seen'")
            event = documents_pb.RecordEventRequest(document_id=document_id, type="seen", request_id="r")
            answer = await outcome(stub.RecordEvent, event)
            assert not isinstance(answer, Refusal), answer
            assert wire.cuts == 1
            listed = await stub.ListEvents(documents_pb.ListEventsRequest(document_id=document_id), timeout=30)
    assert [one.event_id for one in listed.events if one.type == "seen"] == [answer.event.event_id]
    again, attempt, code = told(log, "RecordEvent")
    assert attempt in expected
    assert (again, code) == ((attempt or 1) - 1, "OK")


async def test_what_the_transaction_has_tried_the_call_does_not_try_again(tmp_path: Path, log: Entries) -> None:
    """While the database is away its own layer is patient, once; the caller is then told, by the first attempt."""
    with PostgresServer.temporary() as postgres:
        async with serving(tmp_path, postgres.url(postgres.create_database())) as (stub, document_id):
            postgres.stop()
            lookup = documents_pb.GetDocumentRequest(document_id=document_id)
            refusal = await outcome(stub.GetDocument, lookup, timeout=30)
            postgres.start()  # the end of the server has words with it, too
    assert refusal.kind == (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert told(log, "GetDocument") == (0, None, "UNAVAILABLE")
    lost = [one.get("method", "") for one in log() if one["event"] == "database_lost"]
    assert len([method for method in lost if method.endswith("/GetDocument")]) == 1


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[Callable[[], None]]:
    """Nobody else reads the table until the block ends, or calls what it is given."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    try:
        with engine.connect() as other:
            other.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            yield other.rollback
    finally:
        engine.dispose()


async def test_a_call_that_got_no_connection_is_made_again(tmp_path: Path, postgres_url: str, log: Entries) -> None:
    """Nothing of it was begun; when a connection comes free a moment later, its caller does not notice."""
    one = {"db_pool_size": 1, "db_max_overflow": 0, "db_pool_timeout": 3.0, "db_lock_timeout": 30.0}
    slow = {"db_statement_timeout": 30.0}
    async with serving(tmp_path, postgres_url, **one, **slow) as (stub, document_id):
        lookup = documents_pb.GetDocumentRequest(document_id=document_id)
        async with locked(postgres_url, "documents") as unlock:
            with listening_for("call_retried") as heard:
                running = [
                    asyncio.create_task(outcome(stub.GetDocument, lookup, timeout=30)),
                    asyncio.create_task(outcome(stub.ListDocuments, documents_pb.ListDocumentsRequest(), timeout=30)),
                ]
                await asyncio.wait_for(heard.wait(), 30)
            unlock()
            for answer in await asyncio.gather(*running):
                assert not isinstance(answer, Refusal), answer
    attempts = {told(log, "GetDocument")[1], told(log, "ListDocuments")[1]}
    assert None in attempts  # the one that had the connection
    assert attempts & {2, 3}
