"""A database that takes connections and never answers: its breaker opens, though every caller's deadline is first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from grpc import StatusCode as Code
from ledgerlift.v1 import document_service_pb2 as documents_pb

from tests.support.postgres import PostgresServer
from tests.support.raw_calls import documents, fetch, store
from tests.support.raw_uploads import content
from tests.support.refusals import Refusal, outcome, refused
from tests.support.stores import KIB, Stores

STATEMENT_TIMEOUT = 4.0
"""Seconds; half of that without an answer is a failure."""
PATIENT, HASTY = 3.0, 0.5
"""Seconds that callers wait."""
AT_ONCE = 2.0
"""Seconds in which twenty refusals come; a single call that asked would take longer."""


async def test_a_frozen_database_opens_its_breaker(tmp_path: Path) -> None:
    """Callers who waited for as long as it may take show that it is down; callers in a hurry show nothing."""
    data = content(1, 1000)
    with PostgresServer.temporary() as postgres:
        database = {"DATABASE_URL": postgres.url(postgres.create_database())}
        stores = Stores("postgresql-files", tmp_path, database, 64 * KIB)
        options = {
            "db_statement_timeout": STATEMENT_TIMEOUT,
            "db_failure_threshold": 3,
            "db_recovery_timeout": 5.0,
            "health_cache_ttl": 3600.0,
        }
        async with stores.channel(**options) as channel:
            held = (await store(channel, data)).document
            request = documents_pb.GetDocumentRequest(document_id=held.document_id)
            get = documents(channel).GetDocument
            postgres.suspend()
            try:
                for waits in (HASTY, PATIENT):
                    calls = (refused(get, request, timeout=waits) for _ in range(3))
                    for refusal in await asyncio.gather(*calls):  # none is refused: it was not open before
                        assert refusal.code is Code.DEADLINE_EXCEEDED
                async with asyncio.timeout(AT_ONCE):
                    for _ in range(20):
                        refusal = await refused(get, request)
                        assert refusal.kind == (Code.UNAVAILABLE, "CIRCUIT_OPEN")
            finally:
                postgres.resume()
            async with asyncio.timeout(60):
                while isinstance(refusal := await outcome(get, request), Refusal):
                    assert refusal.kind == (Code.UNAVAILABLE, "CIRCUIT_OPEN")
                    await asyncio.sleep(refusal.retry_after or 0.0)  # as a client does that is told so
            assert await fetch(channel, held.document_id) == data
