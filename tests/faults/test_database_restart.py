"""PostgreSQL is restarted, or freezes, under a server that is being read from and written to."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import document_service_pb2 as pb
from ledgerlift_server.adapters.sql import migrate

from tests.support.postgres import PostgresServer
from tests.support.raw_calls import documents, store
from tests.support.raw_uploads import reason
from tests.support.server import ServerProcess
from tests.support.stores import Stores

READERS = 6
DEADLINE = 10.0
"""Seconds; the default of these methods."""
UNARY_LIMIT = 30.0
"""Seconds within which every unary call answers, whatever hangs."""

Read = Callable[[], Awaitable[Any]]


@dataclass
class Load:
    """Readers that ask one after the other, by plain stubs: nothing on their side tries again."""

    channel: grpc.aio.Channel
    document_id: str
    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    _due: dict[int, int] = field(default_factory=dict)
    """Calls that each reader has still to make before the load has come so far."""
    _so_far: asyncio.Event = field(default_factory=asyncio.Event)
    _over: bool = False

    async def read(self, number: int) -> None:
        """One reader: the methods in turn."""
        stub = documents(self.channel)
        reads: dict[str, Read] = {
            "GetDocument": lambda: stub.GetDocument(
                pb.GetDocumentRequest(document_id=self.document_id), timeout=DEADLINE
            ),
            "ListDocuments": lambda: stub.ListDocuments(pb.ListDocumentsRequest(page_size=5), timeout=DEADLINE),
            "GetDocumentStats": lambda: stub.GetDocumentStats(pb.GetDocumentStatsRequest(), timeout=DEADLINE),
            "ListEvents": lambda: stub.ListEvents(pb.ListEventsRequest(), timeout=DEADLINE),
        }
        names = sorted(reads)
        for turn in itertools.count(number):
            name = names[turn % len(names)]
            began = time.monotonic()
            try:
                await reads[name]()
            except grpc.aio.AioRpcError as error:
                self.failures[f"{name}: {error.code().name} {error.details()}"] += 1
            else:
                self.answers[name] += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._due[number] -= 1
            if max(self._due.values()) <= 0:
                self._so_far.set()
            if self._over:
                return

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All readers, from before the block until after it."""
        async with asyncio.TaskGroup() as group:
            for number in range(READERS):
                self._due[number] = 0
                group.create_task(self.read(number))
            await self.until_more()
            yield
            await self.until_more()
            self._over = True

    async def until_more(self) -> None:
        """Return once every reader has had ten more answers: none of them still sits out what was before."""
        self._due = dict.fromkeys(self._due, 10)
        self._so_far.clear()
        await asyncio.wait_for(self._so_far.wait(), 60)


@pytest.fixture
def fragile(tmp_path: Path) -> Any:
    """A server of this test's own."""
    with PostgresServer.temporary() as server:
        yield server


@asynccontextmanager
async def _loaded(
    folder: Path, postgres: PostgresServer, **environment: str
) -> AsyncIterator[tuple[ServerProcess, Load]]:
    url = postgres.url(postgres.create_database())
    await asyncio.to_thread(migrate, url)
    stores = Stores("postgresql-files", folder, {"DATABASE_URL": url, **environment}, 0)
    async with stores.server() as server, grpc.aio.insecure_channel(server.address) as channel:
        answer = await store(channel, b"read me", filename="a.txt")
        yield server, Load(channel, answer.document.document_id)


def _fast(postgres: PostgresServer) -> None:
    postgres.restart()


def _immediate(postgres: PostgresServer) -> None:
    postgres.restart(immediate=True)


def _slow(postgres: PostgresServer) -> None:
    postgres.stop()
    time.sleep(1.5)  # the time away is what it is about
    postgres.start()


@pytest.mark.parametrize("restart", [_fast, _immediate, _slow])
async def test_a_restart_fails_no_read(
    tmp_path: Path, fragile: PostgresServer, restart: Callable[[PostgresServer], None]
) -> None:
    """Twice in a row, in order and as by a crash: every call is answered, a few of them late."""
    async with _loaded(tmp_path, fragile) as (server, load):
        away = []
        async with load.running():
            for _ in range(2):
                began = time.monotonic()
                await asyncio.to_thread(restart, fragile)
                away.append(time.monotonic() - began)
                await load.until_more()
        lost = len(server.log("connection_lost"))
    print(  # noqa: T201 - the figures are what this is run for
        f"\nrestart ({restart.__name__.strip('_')}): away {', '.join(f'{one:.2f}' for one in away)} s;"
        f" {load.answers.total()} reads answered, {load.failures.total()} failed; slowest {load.slowest:.2f} s;"
        f" {lost} connections lost or refused"
    )
    assert load.failures == {}
    assert set(load.answers) == {"GetDocument", "ListDocuments", "GetDocumentStats", "ListEvents"}
    assert lost > 0, "nobody noticed the restart: nothing was tested"


async def test_a_frozen_database_holds_no_call_and_no_thread(tmp_path: Path, fragile: PostgresServer) -> None:
    """More calls than there are connections: all are answered in time, and the next ones have a thread again."""
    # So few calls that no breaker judges them: it would answer in the place of the threads.
    pool = {"DB_POOL_SIZE": "1", "DB_MAX_OVERFLOW": "1", "DB_STATEMENT_TIMEOUT": "2", "DB_CONNECT_TIMEOUT": "2"}
    async with _loaded(tmp_path, fragile, **pool, DB_FAILURE_THRESHOLD="1000") as (_, load):
        stub = documents(load.channel)
        slowest = 0.0

        async def ask(*deadlines: float | None) -> Counter[str]:
            """One call with each; what they were told."""
            return Counter(await asyncio.gather(*(read(deadline) for deadline in deadlines)))

        async def read(deadline: float | None) -> str:
            nonlocal slowest
            began = time.monotonic()
            try:
                await stub.GetDocument(pb.GetDocumentRequest(document_id=load.document_id), timeout=deadline)
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name} {reason(error)}"
            else:
                return "OK"
            finally:
                slowest = max(slowest, time.monotonic() - began)

        fragile.suspend()
        try:
            first = await ask(*(None, 5.0, 1.0) * 2)
            second = await ask(*(None,) * 2)
        finally:
            fragile.resume()
        print(f"\nfrozen: {dict(first)}, then {dict(second)}, slowest {slowest:.2f} s")  # noqa: T201 - the figures
        assert first["OK"] == 0
        assert slowest < UNARY_LIMIT
        assert second == {"UNAVAILABLE DEPENDENCY_UNAVAILABLE": 2}, "not asked: their threads are still held"
        assert await ask(*(None,) * 6) == {"OK": 6}
