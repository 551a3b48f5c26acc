"""A connection that breaks, or cannot be made: what certainly did not happen is repeated, within bounds."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from ledgerlift_server.adapters.sql import DatabaseOptions
from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.errors import DependencyUnavailable
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope
from sqlalchemy import text

from tests.support.counting_refuser import CountingRefuser
from tests.support.databases import OpenDatabase, run_sql
from tests.support.postgres import PostgresServer


@pytest.fixture
def fragile() -> Iterator[PostgresServer]:
    """A server that a test may restart."""
    with PostgresServer.temporary() as server:
        yield server


def _url(server: CountingRefuser) -> str:
    return f"postgresql://nobody@{server.address}/none"


def _say(statement: str) -> Callable[[Transaction], object]:
    return lambda tx: tx.first(text(statement))


async def test_a_server_that_dies_during_a_transaction(open_database: OpenDatabase, postgres_url: str) -> None:
    """Each time before the COMMIT: ten attempts, and then unavailable. The pool is well again."""
    pauses: list[float] = []
    runs: list[int] = []
    patient = DatabaseOptions(outage_patience=60.0)  # on a slow machine the attempts alone take their time
    database = open_database(postgres_url, patient, sleep=pauses.append, jitter=lambda: 0.99)

    def die(tx: Transaction) -> None:
        pid = tx.one(text("SELECT pg_backend_pid() AS pid"))["pid"]
        runs.append(pid)
        tx.run(text("INSERT INTO leases VALUES ('x', 'y', now())"))
        run_sql(postgres_url, f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(DependencyUnavailable) as refused:
        await database.write("die", die)
    assert not refused.value.rerun
    assert len(set(runs)) == len(runs) == 10
    assert [round(pause, 2) for pause in pauses] == [0.2, 0.4, 0.79, 1.58, 1.98, 1.98, 1.98, 1.98, 1.98]
    await database.ping()
    assert run_sql(postgres_url, "SELECT count(*) AS n FROM leases") == [{"n": 0}]


@pytest.mark.parametrize("write", [False, True])
async def test_a_connection_that_is_lost_before_the_commit_is_not_noticed(
    open_database: OpenDatabase, postgres_url: str, write: bool
) -> None:
    """What was begun on it certainly did not happen, and is done on the next one; once."""
    database = open_database(postgres_url)
    runs: list[int] = []

    def die_once(tx: Transaction) -> str:
        pid = tx.one(text("SELECT pg_backend_pid() AS pid"))["pid"]
        runs.append(pid)
        if write:
            tx.run(text("INSERT INTO leases VALUES ('x', 'y', now())"))
        if len(runs) == 1:
            run_sql(postgres_url, f"SELECT pg_terminate_backend({pid}, 5000)")
        return "done"

    assert await (database.write if write else database.read)("die_once", die_once) == "done"
    assert len(set(runs)) == 2
    assert run_sql(postgres_url, "SELECT count(*) AS n FROM leases") == [{"n": int(write)}]


async def test_one_lost_connection_tells_of_all_in_the_pool(
    open_database: OpenDatabase, fragile: PostgresServer
) -> None:
    """After a restart no attempt is spent on another connection that died with it."""
    database = open_database(fragile.url("postgres"), sleep=lambda seconds: pytest.fail("an attempt was wasted"))
    in_use = threading.Barrier(10, timeout=20)
    await asyncio.gather(*(database.read("hold", lambda tx: in_use.wait()) for _ in range(10)))
    fragile.restart()
    for _ in range(10):
        await database.read("one", _say("SELECT 1 AS one"))


async def test_a_database_that_stays_away(open_database: OpenDatabase) -> None:
    """A call asks for ten sessions at the most; a ping, which is about this moment, for one."""
    with CountingRefuser.running() as server:
        database = open_database(_url(server), DatabaseOptions(outage_patience=60.0), sleep=lambda seconds: None)
        for name, call in (("read", database.read), ("write", database.write)):
            before = server.sessions
            with pytest.raises(DependencyUnavailable) as refused:
                await call(name, _say("SELECT 1"))
            assert server.sessions - before == 10
            assert not refused.value.rerun
        before = server.sessions
        with pytest.raises(DependencyUnavailable):
            await database.ping()
        assert server.sessions - before == 1


async def test_a_database_that_never_says_a_word_is_not_asked_again(open_database: OpenDatabase) -> None:
    """The connection is made, and that is all: a second one would only take as long."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = open_database(
            f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none",
            DatabaseOptions(connect_timeout=0.2),
            sleep=lambda seconds: pytest.fail("asked again"),
        )
        with pytest.raises(DependencyUnavailable):
            await database.read("read", _say("SELECT 1"))


async def test_an_outage_is_sat_out_for_so_long_and_no_longer(open_database: OpenDatabase) -> None:
    """The patience bounds the pauses, and the deadline bounds the patience."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(seconds)

    with CountingRefuser.running() as server:
        database = open_database(
            _url(server), DatabaseOptions(outage_patience=0.5), sleep=sleep, jitter=lambda: 0.999
        )
        with pytest.raises(DependencyUnavailable):
            await database.read("read", _say("SELECT 1"))
        assert len(pauses) == 2
        assert sum(pauses) <= 0.5
        with deadline_scope(Deadline.after(0.15)), pytest.raises(DependencyUnavailable):
            await database.read("read", _say("SELECT 1"))
        assert len(pauses) == 2


async def test_many_failing_calls_share_what_they_may_try(open_database: OpenDatabase) -> None:
    """Each connection may sit out one outage; when all of that is used up, a call is one attempt."""
    with CountingRefuser.running() as server:
        database = open_database(
            _url(server),
            DatabaseOptions(pool_size=1, max_overflow=0, outage_patience=60.0),
            sleep=lambda seconds: None,
        )
        made = []
        for _ in range(3):
            before = server.sessions
            with pytest.raises(DependencyUnavailable):
                await database.read("read", _say("SELECT 1"))
            made.append(server.sessions - before)
        assert made == [10, 1, 1]
