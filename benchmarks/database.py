"""What keeping connections saves: database operations of the server, pooled and with a connection for each.

    python -m benchmarks.database

Three contestants take turns, round by round, on a PostgreSQL of their own over the loopback, which asks for a
password (SCRAM, its default) as any that is not of a test does; there is no TLS, with which a connection costs more:

    pooled          the repositories as the server runs them
    not kept        the same, but each transaction makes its connection and closes it behind itself
    plain psycopg2  connect, one SELECT of the same row, close: the least that an operation without a pool can be

The goal is what this project was asked for: at least 60 % less time for an operation than without a pool.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.sql import Database, DatabaseOptions, SqlDocuments, connections, migrate
from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.domain.models import Caller
from ledgerlift_server.resilience.breaker import CircuitBreaker
from ledgerlift_server.resilience.bulkhead import Bulkhead

from benchmarks.upload.stats import Spread, ratios
from tests.support.postgres import PostgresServer

OWNER = "alice"
DOCUMENTS = 100
ROUNDS, OPERATIONS = 7, 300
CALLERS = (1, 8)
GOAL = 0.6
"""Least part of an operation's time that pooling has to save."""

GROW = """
INSERT INTO blobs (owner, sha256, object_name, size, documents)
SELECT '{owner}', encode(sha256(n::text::bytea), 'hex'), 'objects/' || n, 1000, 1 FROM generate_series(1, {count}) n;
INSERT INTO documents (document_id, owner, filename, content_type, size, sha256, key, metadata, status, error_message,
                       object_name, create_time, update_time)
SELECT lpad(to_hex(n), 36, '0'), '{owner}', 'report-' || n || '.pdf', 'application/pdf', 1000,
       encode(sha256(n::text::bytea), 'hex'), 'reports/' || n, '{{}}', 'UPLOADED', '', 'objects/' || n, now(), now()
FROM generate_series(1, {count}) n
"""

Operation = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Work:
    """An operation, and how each contestant does it."""

    name: str
    contestants: dict[str, Operation]


def _works(pooled: SqlDocuments, not_kept: SqlDocuments, url: str) -> list[Work]:
    def read(documents: SqlDocuments) -> Operation:
        return lambda number: documents.get(OWNER, _id(number))

    def write(documents: SqlDocuments) -> Operation:
        caller = Caller(OWNER, frozenset(), "bench")
        return lambda number: documents.record_event(caller, _id(number), "bench", {}, new_id())

    def plain(number: int) -> Awaitable[object]:
        return asyncio.to_thread(_select, url, number)

    return [
        Work("read a document", {"pooled": read(pooled), "not kept": read(not_kept), "plain psycopg2": plain}),
        Work("record an event", {"pooled": write(pooled), "not kept": write(not_kept)}),
    ]


def _id(number: int) -> str:
    return f"{number % DOCUMENTS + 1:036x}"


def _select(url: str, number: int) -> None:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM documents WHERE owner = %s AND document_id = %s", (OWNER, _id(number)))
            assert cursor.fetchone() is not None
    finally:
        connection.close()


async def _milliseconds(operation: Operation, callers: int) -> float:
    """Of one operation, as its caller waits for it, while so many callers work."""

    async def caller(first: int) -> float:
        began = time.perf_counter()
        for number in range(OPERATIONS // callers):
            await operation(first * OPERATIONS + number)
        return time.perf_counter() - began

    times = await asyncio.gather(*(caller(first) for first in range(callers)))
    return sum(times) / callers / (OPERATIONS // callers) * 1000


async def _rounds(work: Work, callers: int) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in work.contestants}
    for count in range(ROUNDS + 1):
        for name, operation in work.contestants.items():
            taken = await _milliseconds(operation, callers)
            if count:  # the first warms connections and plans
                measured[name].append(taken)
    return measured


async def _measure(works: list[Work]) -> bool:
    met = True
    print(f"{'operation':<18}{'callers':>8}  {'contestant':<16}{'one operation':>24}{'pooled saves':>26}")
    for work in works:
        for callers in CALLERS:
            measured = await _rounds(work, callers)
            for name, times in measured.items():
                spread = Spread.of(times)
                line = f"{work.name:<18}{callers:>8}  {name:<16}"
                line += f"{spread.median:>8.2f} ms ({spread.low:.2f} - {spread.high:.2f})".ljust(24)
                if name != "pooled":
                    part = ratios(measured["pooled"], times)
                    met = met and 1 - part.median >= GOAL
                    line += f"{1 - part.median:>8.0%} ({1 - part.high:.0%} - {1 - part.low:.0%})"
                print(line)
    print(f"medians of {ROUNDS} rounds of {OPERATIONS}; goal: saves {GOAL:.0%}: {'met' if met else 'NOT met'}")
    return met


def _url_with_password(server: PostgresServer, database: str) -> str:
    """Of a user whom the server does not trust, as it does all others."""
    server.execute("CREATE ROLE bench SUPERUSER LOGIN PASSWORD 'bench'")
    rules = Path(server.execute("SHOW hba_file")[0][0])
    rules.write_text(f"host all bench 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    server.execute("SELECT pg_reload_conf()")
    return f"postgresql://bench:bench@127.0.0.1:{server.port}/{database}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when the goal is missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(
        arguments
    )
    with PostgresServer.temporary() as server, ExitStack() as stack:
        name = server.create_database()
        url = _url_with_password(server, name)
        migrate(url)
        server.execute(GROW.format(owner=OWNER, count=DOCUMENTS), name)
        server.execute("VACUUM ANALYZE", name)
        options = DatabaseOptions(pool_size=max(CALLERS), max_overflow=0)

        def documents(options: DatabaseOptions) -> SqlDocuments:
            bulkhead = Bulkhead("database", connections(url, options), max_wait=30.0)
            stack.callback(bulkhead.close)
            database = Database(url, Dependency("database", bulkhead, CircuitBreaker("database")), options)
            stack.callback(database.close)
            return SqlDocuments(database)

        # What is older than no time at all is replaced: every transaction has a connection of its own.
        works = _works(documents(options), documents(replace(options, pool_recycle=0.0)), url)
        return 0 if asyncio.run(_measure(works)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
