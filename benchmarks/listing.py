"""What a page of ListDocuments costs as the table grows: the repository's own call, on a PostgreSQL of its own.

    python -m benchmarks.listing            1,000 to 1,000,000 documents, some three minutes
    python -m benchmarks.listing --most 5   up to 100,000

The goal is that a page costs the same however many documents there are and however deep it lies: within
twice the time at 1,000 documents. Medians, one call at a time, driver and row mapping included.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.sql import Database, DatabaseOptions, SqlDocuments, connections, migrate
from ledgerlift_server.adapters.sql.paging import PageTokens, time_and_id
from ledgerlift_server.domain.models import DocumentFilter, ProcessingStatus
from ledgerlift_server.resilience.breaker import CircuitBreaker
from ledgerlift_server.resilience.bulkhead import Bulkhead

from tests.support.postgres import PostgresServer

OWNER = "alice"
PAGE_SIZE = 100
CALLS = 200
GOAL = 2.0
"""Most that a page may cost at any size, as a multiple of the first row of the table below."""

DATABASE = "listing"
FIRST_CREATED = 1_700_000_000
"""Seconds since 1970 at which the first document was created; one a second follows."""

# Every fourth document FAILED, evenly spread. The rows of `blobs` come first: documents refer to them.
GROW_BLOBS = """
INSERT INTO blobs (owner, sha256, object_name, size, documents)
SELECT '{owner}', encode(sha256(n::text::bytea), 'hex'), 'objects/' || n, 1000, 1
FROM generate_series({first}, {last}) n
"""
GROW_DOCUMENTS = """
INSERT INTO documents (document_id, owner, filename, content_type, size, sha256, key, metadata, status, error_message,
                       object_name, create_time, update_time)
SELECT lpad(to_hex(n), 36, '0'), '{owner}', 'report-' || n || '.pdf',
       'application/pdf', 1000, encode(sha256(n::text::bytea), 'hex'), 'reports/' || n,
       '{{"department": "finance", "year": "2026"}}',
       CASE WHEN n % 4 = 0 THEN 'FAILED' ELSE 'UPLOADED' END, '', 'objects/' || n,
       to_timestamp({start} + n), to_timestamp({start} + n)
FROM generate_series({first}, {last}) n
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A page of one list: newest (`depth` 0) or so far into it (0 to 1)."""

    name: str
    where: DocumentFilter
    depth: float

    def token(self, documents: int) -> str:
        """The page token of that depth."""
        if not self.depth:
            return ""
        number = round(documents * (1 - self.depth))
        tokens = PageTokens(time_and_id, "documents", OWNER, self.where)
        return tokens.encode((FIRST_CREATED + number) * 1_000_000, f"{number:036x}")


QUESTIONS = (
    Question("first page", DocumentFilter(), 0),
    Question("deep page", DocumentFilter(), 0.8),
    Question("deep, one status", DocumentFilter(status=ProcessingStatus.FAILED), 0.5),
)


async def _median_ms(documents: SqlDocuments, question: Question, count: int) -> float:
    token = question.token(count)
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        page = await documents.list(OWNER, question.where, page_size=PAGE_SIZE, page_token=token)
        times.append(time.perf_counter() - began)
        assert len(page.items) == PAGE_SIZE, f"{question.name}: {len(page.items)} documents"
    return statistics.median(times) * 1000


async def _measure(server: PostgresServer, most: int) -> list[tuple[int, list[float]]]:
    server.execute(f"CREATE DATABASE {DATABASE}")
    url = server.url(DATABASE)
    migrate(url)
    options = DatabaseOptions(pool_size=2, max_overflow=0)
    bulkhead = Bulkhead("database", connections(url, options), max_wait=30.0)
    database = Database(url, Dependency("database", bulkhead, CircuitBreaker("database")), options)
    documents = SqlDocuments(database)
    measured: list[tuple[int, list[float]]] = []
    try:
        there = 0
        for exponent in range(3, most + 1):
            count = 10**exponent
            for statement in (GROW_BLOBS, GROW_DOCUMENTS):
                server.execute(
                    statement.format(owner=OWNER, first=there + 1, last=count, start=FIRST_CREATED), DATABASE
                )
            server.execute("VACUUM ANALYZE", DATABASE)
            there = count
            for question in QUESTIONS:
                await _median_ms(documents, question, count)  # warms caches and plans; not counted
            measured.append((count, [await _median_ms(documents, question, count) for question in QUESTIONS]))
    finally:
        database.close()
        bulkhead.close()
    return measured


def _report(measured: list[tuple[int, list[float]]]) -> bool:
    """Print the table; whether the goal is met."""
    header = "".join(f"{question.name:>20}  ratio" for question in QUESTIONS)
    print(f"{'documents':>10}{header}")
    base = measured[0][1]
    worst = 0.0
    for count, times in measured:
        ratios = [one / first for one, first in zip(times, base, strict=True)]
        worst = max(worst, *ratios)
        cells = "".join(f"{one:>17.2f} ms  {ratio:>4.2f}x" for one, ratio in zip(times, ratios, strict=True))
        print(f"{count:>10,}{cells}")
    met = worst <= GOAL
    print(
        f"pages of {PAGE_SIZE}, median of {CALLS} calls; largest ratio {worst:.2f}x, goal {GOAL:.0f}x: "
        f"{'met' if met else 'NOT met'}"
    )
    return met


def main() -> int:
    """Exit code 1 when the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=6, help="powers of ten of the largest table, at least 3")
    most = parser.parse_args().most
    with PostgresServer.temporary() as server:
        measured = asyncio.run(_measure(server, most))
    return 0 if _report(measured) else 1


if __name__ == "__main__":
    raise SystemExit(main())
