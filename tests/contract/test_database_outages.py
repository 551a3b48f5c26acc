"""What callers hear when the database is slow, full, gone, frozen, or busy with somebody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ledgerlift_server.adapters.sql import DatabaseOptions, SqlUploadLedger
from ledgerlift_server.adapters.sql.transactions import Again, Transaction
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable, InvalidRequest, Overloaded
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope
from ledgerlift_server.resilience.pool_use import PoolUse
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.databases import OpenDatabase, run_sql
from tests.support.postgres import PostgresServer
from tests.support.uploads import caller, new_session, open_session, parts

ONE_CONNECTION = {"pool_size": 1, "max_overflow": 0}


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresServer]:
    """A server that these tests may kill and freeze."""
    with PostgresServer.temporary() as server:
        yield server


@pytest.fixture
def fragile_url(fragile: PostgresServer) -> Iterator[str]:
    """An empty database on it."""
    name = fragile.create_database()
    yield fragile.url(name)
    fragile.drop_database(name)


@pytest.fixture
def locked_session(postgres_url: str) -> Iterator[tuple[str, Callable[[str], None]]]:
    """The URL, and a function that locks a session's row from elsewhere until the test ends."""
    with closing(psycopg2.connect(postgres_url)) as other:

        def lock(upload_id: str) -> None:
            with other.cursor() as cursor:
                cursor.execute("SELECT 1 FROM sessions WHERE upload_id = %s FOR UPDATE", (upload_id,))

        yield postgres_url, lock


def _say(statement: str) -> Callable[[Transaction], object]:
    return lambda tx: tx.first(text(statement))


async def test_a_database_that_is_not_there(open_database: OpenDatabase, fragile: PostgresServer) -> None:
    """Nobody listens, no such database, no such folder: unavailable at once, to be tried again."""
    for url in (
        "postgresql://nobody@127.0.0.1:1/none",
        fragile.url("no_such_database"),
        "sqlite:////no/such/folder/file.db",
    ):
        with pytest.raises(DependencyUnavailable) as refused:
            await asyncio.wait_for(open_database(url).ping(), 5)
        assert refused.value.retry_after
        assert "nobody" not in refused.value.message


async def test_a_restart_of_the_server_is_not_noticed(
    open_database: OpenDatabase, fragile: PostgresServer, fragile_url: str
) -> None:
    """Connections that died in the pool are replaced before they are used."""
    database = open_database(fragile_url)
    await asyncio.gather(*(database.ping() for _ in range(10)))
    fragile.kill()
    with pytest.raises(DependencyUnavailable):
        await database.ping()
    fragile.start()
    await asyncio.gather(*(database.ping() for _ in range(10)))
    fragile.restart()
    await asyncio.gather(*(database.ping() for _ in range(10)))


async def test_a_frozen_server_holds_nobody(
    open_database: OpenDatabase, fragile: PostgresServer, fragile_url: str
) -> None:
    """It keeps its connections open and says nothing: threads come back all the same, by the nearer limit."""
    options = DatabaseOptions(statement_timeout=0.3, **ONE_CONNECTION)
    database = open_database(fragile_url, options)
    await database.ping()
    fragile.suspend()
    try:
        began = time.monotonic()
        with deadline_scope(Deadline.after(0.2)), pytest.raises(DeadlineExceeded):
            await database.ping()
        assert time.monotonic() - began < 1.0
        # The one connection there is was given up by the call before, or this one would never have its turn.
        with pytest.raises(DependencyUnavailable):
            await database.ping()
        assert time.monotonic() - began < 6.0
    finally:
        fragile.resume()
    await database.ping()


async def test_nobody_waits_long_for_a_lock(
    open_database: OpenDatabase, locked_session: tuple[str, Callable[[str], None]]
) -> None:
    """Somebody else holds the row: unavailable after the lock's own time, or at the caller's deadline."""
    url, lock = locked_session
    database = open_database(url, DatabaseOptions(lock_timeout=0.3))
    ledger = SqlUploadLedger(database)
    session = await open_session(ledger)
    lock(session.upload_id)
    began = time.monotonic()
    with pytest.raises(DependencyUnavailable):
        await ledger.record_parts(session.upload_id, 1, 0, parts(1, 1), None)
    with deadline_scope(Deadline.after(0.1)), pytest.raises(DeadlineExceeded):
        await ledger.take("alice", session.upload_id)
    assert time.monotonic() - began < 2.0
    assert await ledger.get("alice", session.upload_id) == session


async def test_times_are_those_after_the_wait(open_database: OpenDatabase, postgres_url: str) -> None:
    """Who waited for another's change writes the time of its own turn: the times of a row never go back."""
    ledger = SqlUploadLedger(open_database(postgres_url))
    session = await open_session(ledger)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    database = open_database(postgres_url)
    with closing(psycopg2.connect(postgres_url)) as other, other.cursor() as cursor:
        cursor.execute("UPDATE sessions SET part_count = part_count")
        task = asyncio.create_task(ledger.take("alice", session.upload_id))
        while not await database.read("waiting", lambda tx: next(iter(tx.one(waiting).values()))):
            pass
        cursor.execute("SELECT clock_timestamp()")
        (released,) = cursor.fetchone() or (None,)
        other.commit()
    taken = await task
    assert taken.update_time > released
    assert taken.expire_time > released + timedelta(days=1)


async def test_the_deadline_reaches_the_server(open_database: OpenDatabase, postgres_url: str) -> None:
    """PostgreSQL itself stops at the caller's deadline, and the connection is good for the next one."""
    database = open_database(postgres_url, DatabaseOptions(**ONE_CONNECTION))
    pid = await database.read("pid", _say("SELECT pg_backend_pid() AS pid"))
    with deadline_scope(Deadline.after(0.3)), pytest.raises(DeadlineExceeded):
        await database.read("sleep", _say("SELECT pg_sleep(60)"))
    assert await database.read("pid", _say("SELECT pg_backend_pid() AS pid")) == pid


async def test_a_transaction_that_outlasts_the_databases_own_time(
    open_database: OpenDatabase, postgres_url: str
) -> None:
    """Nobody's deadline, so it is the database's failure."""
    database = open_database(postgres_url, DatabaseOptions(statement_timeout=0.2))
    with pytest.raises(DependencyUnavailable):
        await database.read("sleep", _say("SELECT pg_sleep(60)"))


async def test_a_process_that_hangs_loses_its_locks(open_database: OpenDatabase, postgres_url: str) -> None:
    """PostgreSQL ends a transaction whose process says nothing. The next in line goes on, and then that one again."""
    hanging = open_database(postgres_url, DatabaseOptions(idle_in_transaction_timeout=0.2))
    waiting = SqlUploadLedger(open_database(postgres_url))
    session = await open_session(waiting)
    locked, go_on = threading.Event(), threading.Event()

    def hang(tx: Transaction) -> int:
        query = text("SELECT epoch FROM sessions WHERE upload_id = :id FOR UPDATE").bindparams(id=session.upload_id)
        epoch: int = tx.one(query)["epoch"]
        locked.set()
        go_on.wait(30)
        return epoch

    task = asyncio.create_task(hanging.write("hang", hang))
    await asyncio.to_thread(locked.wait, 30)
    assert (await waiting.take("alice", session.upload_id)).epoch == 2
    go_on.set()
    assert await task == 2  # what it did before is undone; it was run again


async def test_transactions_that_block_each_other_both_get_through(
    open_database: OpenDatabase, postgres_url: str
) -> None:
    """PostgreSQL ends one of the two in a deadlock; it is run again and nobody is told."""
    database = open_database(postgres_url)
    run_sql(postgres_url, "INSERT INTO leases VALUES ('a', '', now()), ('b', '', now())")
    mark = text("UPDATE leases SET holder = holder || :by WHERE name = :name")
    both_hold_one = threading.Barrier(2, timeout=20)
    runs: list[str] = []

    def lock_both(first: str, second: str) -> Callable[[Transaction], None]:
        def work(tx: Transaction) -> None:
            runs.append(first)
            tx.run(mark.bindparams(by=first, name=first))
            if len(runs) <= 2:
                both_hold_one.wait()
            tx.run(mark.bindparams(by=first, name=second))

        return work

    await asyncio.gather(database.write("ab", lock_both("a", "b")), database.write("ba", lock_both("b", "a")))
    assert len(runs) == 3
    rows = run_sql(postgres_url, "SELECT holder FROM leases ORDER BY name")
    assert sorted(rows[0]["holder"]) == sorted(rows[1]["holder"]) == ["a", "b"]


async def test_losing_again_and_again_ends(open_database: OpenDatabase, database_url: str) -> None:
    """Full jitter between the attempts, ten of them, and then the caller is to try later."""
    pauses: list[float] = []
    runs: list[None] = []
    database = open_database(database_url, sleep=pauses.append, jitter=lambda: 1.0)

    def lose(tx: Transaction) -> None:
        runs.append(None)
        raise Again

    with pytest.raises(Overloaded):
        await database.write("lose", lose)
    assert len(runs) == 10
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.5]


async def test_no_attempt_is_begun_behind_the_deadline(open_database: OpenDatabase, database_url: str) -> None:
    """Where the pause would not fit, the caller is answered instead."""
    runs: list[None] = []
    database = open_database(database_url, sleep=lambda seconds: None, jitter=lambda: 1000.0)

    def lose(tx: Transaction) -> None:
        runs.append(None)
        raise Again

    with deadline_scope(Deadline.after(5.0)), pytest.raises(Overloaded):
        await database.write("lose", lose)
    assert len(runs) == 1


async def test_a_refusal_undoes_what_was_written(open_database: OpenDatabase, database_url: str) -> None:
    """What `work` raises is raised, and nothing of it stays."""
    database = open_database(database_url)

    def refuse(tx: Transaction) -> None:
        tx.run(text("INSERT INTO leases VALUES ('x', 'y', (SELECT min(due_time) FROM removals))"))

    def write_and_refuse(tx: Transaction) -> None:
        tx.run(text("UPDATE event_era SET era = 7"))
        raise KeyError("refused")

    with pytest.raises(KeyError):
        await database.write("refuse", write_and_refuse)
    assert run_sql(database_url, "SELECT era FROM event_era") == [{"era": 0}]
    with pytest.raises(DBAPIError):
        await database.write("defect", refuse)
    await database.ping()


async def test_a_failed_transaction_cannot_pass_for_committed(open_database: OpenDatabase, postgres_url: str) -> None:
    """PostgreSQL answers its COMMIT with a quiet ROLLBACK."""
    database = open_database(postgres_url)

    def swallow(tx: Transaction) -> None:
        with pytest.raises(DBAPIError):
            tx.run(text("SELECT 1 / 0"))

    with pytest.raises(RuntimeError, match="cannot be committed"):
        await database.write("swallow", swallow)
    await database.ping()


async def test_a_reader_cannot_write(open_database: OpenDatabase, postgres_url: str) -> None:
    """Work that was declared to read is held to it."""
    database = open_database(postgres_url)
    with pytest.raises(DependencyUnavailable):
        await database.read("lie", lambda tx: tx.run(text("UPDATE event_era SET era = 7")))
    assert run_sql(postgres_url, "SELECT era FROM event_era") == [{"era": 0}]


async def test_a_full_pool_is_overload(open_database: OpenDatabase, postgres_url: str) -> None:
    """Should the bulkhead ever let more through than there are connections, the caller is to try later."""
    options = DatabaseOptions(pool_timeout=0.1, **ONE_CONNECTION)
    database = open_database(postgres_url, options)
    in_use, go_on = threading.Event(), threading.Event()

    def occupy(tx: Transaction) -> None:
        in_use.set()
        go_on.wait(30)

    task = asyncio.create_task(database.read("occupy", occupy))
    await asyncio.to_thread(in_use.wait, 30)
    assert database.pool_status() == PoolUse(size=1, checked_out=1, overflow=0, max_connections=1)
    with pytest.raises(Overloaded):
        await asyncio.to_thread(database._run, "ping", _say("SELECT 1"), False)
    go_on.set()
    await task


async def test_text_that_cannot_be_stored_is_refused(open_database: OpenDatabase, postgres_url: str) -> None:
    """NUL, in a column or inside of labels: the request is wrong, not the database."""
    ledger = SqlUploadLedger(open_database(postgres_url))
    for declared in ({"filename": "a\x00b"}, {"metadata": {"a": "\x00"}}):
        with pytest.raises(InvalidRequest):
            await ledger.open(new_session(**declared), caller())


async def test_a_sqlite_file_that_somebody_else_writes_to(open_database: OpenDatabase, sqlite_url: str) -> None:
    """Another process holds the file's lock: readers go on, writers are told to try later."""
    database = open_database(sqlite_url, DatabaseOptions(lock_timeout=0.2))
    ledger = SqlUploadLedger(database)
    session = await open_session(ledger)
    other = open_database(sqlite_url)
    holding, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        holding.set()
        go_on.wait(30)

    task = asyncio.create_task(other.write("hold", hold))
    await asyncio.to_thread(holding.wait, 30)
    assert await ledger.get("alice", session.upload_id) == session
    with pytest.raises(DependencyUnavailable):
        await ledger.take("alice", session.upload_id)
    go_on.set()
    await task
    assert (await ledger.take("alice", session.upload_id)).epoch == 2


async def test_sqlites_one_writer_is_waited_for_until_the_deadline(
    open_database: OpenDatabase, sqlite_url: str
) -> None:
    """A writer of this process: the others queue, readers do not."""
    database = open_database(sqlite_url)
    ledger = SqlUploadLedger(database)
    session = await open_session(ledger)
    holding, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        holding.set()
        go_on.wait(30)

    task = asyncio.create_task(database.write("hold", hold))
    await asyncio.to_thread(holding.wait, 30)
    assert await ledger.get("alice", session.upload_id) == session
    with deadline_scope(Deadline.after(0.2)), pytest.raises(DeadlineExceeded):
        await ledger.take("alice", session.upload_id)
    go_on.set()
    await task


async def test_a_queue_of_sqlite_writers_is_overload(open_database: OpenDatabase, sqlite_url: str) -> None:
    """Nothing is wrong with the database: a writer whose turn does not come is to try later."""
    database = open_database(sqlite_url, DatabaseOptions(lock_timeout=0.1))
    holding, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        holding.set()
        go_on.wait(30)

    task = asyncio.create_task(database.write("hold", hold))
    await asyncio.to_thread(holding.wait, 30)
    with pytest.raises(Overloaded):
        await database.write("next", lambda tx: None)
    go_on.set()
    await task


async def test_sqlite_stops_at_the_deadline(open_database: OpenDatabase, sqlite_url: str) -> None:
    """A query without end gives its thread back; without a deadline it is the database's failure."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    database = open_database(sqlite_url, DatabaseOptions(statement_timeout=0.4))
    for _ in range(10):
        with deadline_scope(Deadline.after(0.05)), pytest.raises(DeadlineExceeded):
            await database.read("endless", _say(endless))
    with pytest.raises(DependencyUnavailable):
        await database.read("endless", _say(endless))
    await database.ping()


async def test_a_sqlite_file_that_is_damaged(open_database: OpenDatabase, tmp_path: Path) -> None:
    """Unavailable, and what is wrong with it stands in the log only."""
    path = tmp_path / "damaged.db"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(DependencyUnavailable) as refused:
        await open_database(f"sqlite:///{path}").ping()
    assert str(path) not in refused.value.message


async def test_sqlite_is_durable(open_database: OpenDatabase, sqlite_url: str) -> None:
    """Every connection writes ahead and waits for the disk at each commit."""
    database = open_database(sqlite_url)

    def settings(tx: Transaction) -> list[Any]:
        return [next(iter(tx.one(text(f"PRAGMA {name}")).values())) for name in ("journal_mode", "synchronous")]

    assert await database.read("settings", settings) == ["wal", 2]


async def test_a_slow_transaction_is_logged_by_its_name(
    open_database: OpenDatabase, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And a quick one is not."""
    await open_database(database_url).read("quick", lambda tx: None)
    assert caplog.records == []
    await open_database(database_url, DatabaseOptions(slow_transaction=0.0)).read("slow", lambda tx: None)
    (record,) = caplog.records
    assert (record.message, record.__dict__["transaction"]) == ("slow_transaction", "slow")
