"""A COMMIT whose answer never comes: PostgreSQL is asked how it ended, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ledgerlift_server.adapters.sql import Database, DatabaseOptions
from ledgerlift_server.adapters.sql.transactions import Transaction
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope
from sqlalchemy import text

from tests.support.commit_wire import CommitWire, Cut
from tests.support.databases import OpenDatabase
from tests.support.postgres import PostgresServer

COMMITS_AT = {Cut.DELIVERED: 1, Cut.SWALLOWED: 2, Cut.HALF_OPEN: 2}
"""Which run of the work is the one that holds."""


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresServer]:
    """A server that these tests may kill. Its WAL waits for a COMMIT, so that a crash takes the rest of it along."""
    with PostgresServer.temporary(wal_writer_delay="10s", autovacuum="off", bgwriter_delay="10s") as server:
        yield server


@pytest.fixture
def ledger_url(fragile: PostgresServer) -> Iterator[str]:
    """A database with one table, which counts what was done to it."""
    name = fragile.create_database()
    fragile.execute("CREATE TABLE done (run int)", name)
    yield name
    fragile.drop_database(name)


@pytest.fixture
def wire(fragile: PostgresServer) -> Iterator[CommitWire]:
    """Between the database and its server."""
    with CommitWire(f"127.0.0.1:{fragile.port}") as wire:
        yield wire


Opened = Callable[..., Database]


@pytest.fixture
def opened(open_database: OpenDatabase, wire: CommitWire, ledger_url: str) -> Opened:
    """Opens the database over the wire."""
    return lambda **options: open_database(
        f"postgresql://ledgerlift@{wire.address}/{ledger_url}",
        DatabaseOptions(**({"outage_patience": 30.0} | options)),
    )


class Work:
    """Notes each of its runs in the database, and returns which it was."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, tx: Transaction) -> int:
        """One run."""
        self.runs += 1
        tx.run(text("INSERT INTO done VALUES (:run)").bindparams(run=self.runs))
        return self.runs


@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("cut", Cut)
async def test_an_unanswered_commit_is_resolved(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened, cut: Cut, restarted: bool
) -> None:
    """Committed: its result. Not committed: it is run again. Through an orderly restart of the server as well."""
    work, database = Work(), opened()
    await database.ping()
    wire.arm(cut, fragile.restart if restarted else lambda: None)
    assert await database.write("work", work) == COMMITS_AT[cut]
    assert wire.cuts == 1
    wire.deliver_late()
    assert fragile.execute("SELECT run FROM done", ledger_url) == [(COMMITS_AT[cut],)]


def _crash(fragile: PostgresServer) -> None:
    fragile.kill()
    fragile.start()


async def test_a_commit_that_a_crash_swallowed_is_done_again(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened
) -> None:
    """The server has forgotten the transaction, or knows that it was not committed."""
    work, database = Work(), opened()
    wire.arm(Cut.HALF_OPEN, lambda: _crash(fragile))
    assert await database.write("work", work) == 2
    assert fragile.execute("SELECT run FROM done", ledger_url) == [(2,)]


async def test_a_number_that_is_given_twice_does_not_pass_for_ours(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened
) -> None:
    """After a crash another transaction may get the number of one that is lost, and commit: nobody can tell."""
    work, database = Work(), opened()
    numbers: list[str] = []
    await database.ping()

    def note(tx: Transaction) -> int:
        numbers.append(tx.one(text("SELECT pg_current_xact_id()::text AS number"))["number"])
        return work(tx)

    def crash_and_go_on() -> None:
        _crash(fragile)
        for _ in range(100):
            ((number,),) = fragile.execute(
                "INSERT INTO done VALUES (0) RETURNING pg_current_xact_id()::text", ledger_url
            )
            numbers.append(number)
            if number == numbers[0]:
                return

    wire.arm(Cut.HALF_OPEN, crash_and_go_on)
    with pytest.raises(DependencyUnavailable) as unknown:
        await database.write("work", note)
    assert numbers[-1] == numbers[0]
    assert unknown.value.rerun
    assert work.runs == 1


async def test_a_commit_that_a_crash_followed_is_not_done_again(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened
) -> None:
    """It is durable, but its number proves nothing any more: whoever can find out otherwise runs the whole again."""
    work, database = Work(), opened()
    wire.arm(Cut.DELIVERED, lambda: _crash(fragile))
    with pytest.raises(DependencyUnavailable) as unknown:
        await database.write("work", work)
    assert unknown.value.rerun
    assert fragile.execute("SELECT run FROM done", ledger_url) == [(1,)]


async def test_a_commit_that_nobody_can_be_asked_about(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened
) -> None:
    """The server stays away: unknown, and it is not done again by this layer."""
    work, database = Work(), opened(outage_patience=0.5)
    wire.arm(Cut.DELIVERED, fragile.stop)
    try:
        with pytest.raises(DependencyUnavailable) as unknown:
            await database.write("work", work)
    finally:
        fragile.start()
    assert unknown.value.rerun
    assert work.runs == 1
    assert fragile.execute("SELECT run FROM done", ledger_url) == [(1,)]


async def test_a_standby_is_not_believed(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened
) -> None:
    """It may lag behind: what it has not heard of may be committed all the same."""
    work, database = Work(), opened(outage_patience=0.5)
    await database.ping()
    wire.arm(Cut.SWALLOWED, lambda: fragile.restart(standby=True))
    try:
        with pytest.raises(DependencyUnavailable) as unknown:
            await database.write("work", work)
    finally:
        fragile.restart()
    assert unknown.value.rerun
    assert work.runs == 1


async def test_the_deadline_ends_the_asking(
    fragile: PostgresServer, wire: CommitWire, ledger_url: str, opened: Opened
) -> None:
    """Whoever waits is told in time; the outcome is unknown to it either way."""
    work, database = Work(), opened()
    wire.arm(Cut.DELIVERED, fragile.stop)
    try:
        with deadline_scope(Deadline.after(2.0)), pytest.raises((DependencyUnavailable, DeadlineExceeded)):
            await database.write("work", work)
    finally:
        fragile.start()
    assert work.runs == 1


async def test_a_reader_has_no_commit_to_lose(fragile: PostgresServer, wire: CommitWire, opened: Opened) -> None:
    """It is simply run again, and PostgreSQL spends no number on it."""
    database = opened()
    runs: list[int] = []

    def read(tx: Transaction) -> object:
        runs.append(1)
        return tx.one(text("SELECT pg_current_xact_id_if_assigned()::text AS number"))["number"]

    await database.ping()
    wire.arm(Cut.DELIVERED)
    assert await database.read("read", read) is None
    assert len(runs) == 2
