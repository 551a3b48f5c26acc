"""PostgreSQL through psycopg2: connections, timeouts, and what its errors mean.

psycopg2 by itself waits for an answer without end, whatever `statement_timeout` says, when the server
is stopped or the network swallows packets. So it is given a wait callback, which gives up at the end
of the attempt and closes the connection (psycopg2 does that when the callback raises).
"""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg2
from psycopg2 import extensions
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from ledgerlift_server.adapters.sql.flavour import Ending, Failure, Mark
from ledgerlift_server.adapters.sql.revisions import own_schemas

ANSWER_GRACE = 1.0
"""Seconds beyond a transaction's limit in which the server's own `statement_timeout` may still end it properly."""

KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq's, in seconds, the last in milliseconds: a connection whose peer is gone dies within half a minute."""

SERVER_NAME = "ledgerlift/"
"""How servers are called in pg_stat_activity, followed by the schema that they are made for (at first by nothing)."""

_give_up_at: ContextVar[float | None] = ContextVar("give_up_at", default=None)


class NoAnswer(psycopg2.OperationalError):
    """The server said nothing until the attempt's time was over. The outcome is unknown."""


@contextmanager
def _answered_within(seconds: float) -> Iterator[None]:
    at = time.monotonic() + seconds
    enclosing = _give_up_at.get()
    token = _give_up_at.set(at if enclosing is None else min(at, enclosing))
    try:
        yield
    finally:
        _give_up_at.reset(token)


def check_url(url: URL) -> None:
    """Raise ValueError for what libpq would refuse before it connects; trying again does not help there.

    The message repeats nothing of the URL: what is taken for an option may be a piece of a password.
    """
    if url.port is not None and not 0 < url.port <= 65535:
        raise ValueError("the database URL names a port that there cannot be")
    for option in url.query:
        try:
            extensions.make_dsn(**{option: "any"})
        except psycopg2.ProgrammingError:
            raise ValueError("the database URL has an option that PostgreSQL's client does not know") from None


def _wait(connection: Any) -> None:
    """psycopg2's wait callback: until the connection is ready, or until the time is over."""
    poller = select.poll()
    while (state := connection.poll()) != extensions.POLL_OK:
        descriptor = connection.fileno()
        poller.register(descriptor, select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        give_up_at = _give_up_at.get()
        patience = None if give_up_at is None else max(0.0, give_up_at - time.monotonic()) * 1000
        ready = poller.poll(patience)
        poller.unregister(descriptor)
        if not ready:
            raise NoAnswer("no answer in time")


def make_engine(
    url: URL,
    *,
    pool_size: int,
    max_overflow: int,
    pool_timeout: float,
    pool_recycle: float,
    connect_timeout: float,
) -> Engine:
    """An engine whose connections give up in time. Times are in seconds."""
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout,
        pool_recycle=pool_recycle,
        pool_pre_ping=True,
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args={
            "application_name": SERVER_NAME + own_schemas().newest,
            "connect_timeout": max(2, round(connect_timeout)),
            **KEEPALIVE,
        },
    )
    bound_connecting(engine, connect_timeout)
    _note_incarnation(engine)
    return engine


def bound_connecting(engine: Engine, seconds: float) -> None:
    """Give up on a connection that is not made in time: beside a wait callback, `connect_timeout` is not heard."""
    # One setting for the whole process; it leaves connections without a limit waiting as before.
    extensions.set_wait_callback(_wait)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: object, record: object, args: tuple[Any, ...], parameters: dict[str, Any]) -> Any:
        with _answered_within(seconds):
            return psycopg2.connect(*args, **parameters)


def connected_servers(connection: Connection) -> list[str]:
    """What the servers at work on this database are made for; an empty string for one that does not say so."""
    found = connection.execute(
        text(
            "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
            " AND (application_name = 'ledgerlift' OR application_name LIKE 'ledgerlift/%')"
        )
    )
    return [name.removeprefix("ledgerlift").removeprefix("/") for name in found.scalars()]


def _note_incarnation(engine: Engine) -> None:
    """Every connection knows in which life of the server it was made: no connection outlives a crash.

    A crash takes the statistics with it, and the numbers of transactions of which nothing was written yet. An orderly
    restart keeps both; another server has its own.
    """

    @event.listens_for(engine, "connect")
    def note(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT stats_reset::text FROM pg_stat_bgwriter")
            (record.info[_INCARNATION],) = cursor.fetchone()


class PostgresFlavour:
    """How a transaction runs on PostgreSQL, and what SQLSTATE means."""

    def __init__(self, lock_timeout: float, idle_in_transaction_timeout: float) -> None:
        """Times are in seconds."""
        self._lock_timeout = lock_timeout
        self._idle_timeout = idle_in_transaction_timeout

    @contextmanager
    def attempt(self, *, write: bool, limit: float) -> Iterator[None]:
        """Give up on a silent server shortly after `limit`."""
        with _answered_within(limit + ANSWER_GRACE):
            yield

    def begin(self, connection: Connection, *, write: bool, limit: float, turn: str | None) -> Mark | None:
        """One round trip. A reader sees one state of the database, however many statements it takes."""
        # Its turn first, then its number: whoever waits for a row has a number already, and those that wait do not
        # go on in the order of their numbers.
        waiting = "" if turn is None else f"; SELECT pg_advisory_xact_lock({_lock_number(turn)})"
        # LOCAL settings, so that a pooler between us and the server cannot hand them to somebody else.
        kind = "ISOLATION LEVEL READ COMMITTED" if write else "ISOLATION LEVEL REPEATABLE READ READ ONLY"
        answer = connection.exec_driver_sql(
            f"BEGIN {kind};"
            f" SET LOCAL statement_timeout = {_milliseconds(limit)};"
            f" SET LOCAL lock_timeout = {_milliseconds(min(limit, self._lock_timeout))};"
            f" SET LOCAL idle_in_transaction_session_timeout = {_milliseconds(self._idle_timeout)}"
            + (f"{waiting}; SELECT pg_current_xact_id()::text" if write else "")
        )
        return Mark(answer.scalar_one(), connection.info[_INCARNATION]) if write else None

    def commit(self, connection: Connection) -> None:
        """PostgreSQL answers COMMIT of a failed transaction with a quiet ROLLBACK; that must not pass for success."""
        driver: Any = connection.connection.dbapi_connection
        if driver.info.transaction_status != extensions.TRANSACTION_STATUS_INTRANS:
            raise RuntimeError("the transaction has failed and cannot be committed")
        connection.exec_driver_sql("COMMIT")

    def ending(self, connection: Connection, mark: Mark) -> Ending:
        """One round trip, or two where the server has not noticed yet that the connection is gone."""
        same = connection.info[_INCARNATION] == mark.incarnation
        number = {"number": mark.transaction}
        try:
            state = connection.exec_driver_sql(_STATE, number).scalar_one()
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) == _NOT_GIVEN_YET:
                return Ending.UNDONE  # forgotten in a crash, with all that it did
            raise
        match state:
            case "aborted":
                return Ending.UNDONE
            case "committed" if same:
                return Ending.COMMITTED
            case "in progress" if same:
                connection.exec_driver_sql(_END_IDLE, number)
                return Ending.OPEN
            case "in progress":
                return Ending.UNDONE  # somebody else's by now; ours went down with its server
            case "standby":
                return Ending.OPEN
        return Ending.UNKNOWN

    def classify(self, error: DBAPIError) -> Failure:
        """By SQLSTATE. Without one the connection failed; also one that was refused, whatever for, says no more."""
        driver: Any = error.orig
        state: str | None = getattr(driver, "pgcode", None)
        if isinstance(driver, NoAnswer):
            return Failure.SILENT
        if state is None:
            lost = isinstance(driver, (psycopg2.OperationalError, psycopg2.InterfaceError))
            return Failure.LOST if lost or error.connection_invalidated else Failure.DEFECT
        return _BY_SQLSTATE.get(state) or _BY_CLASS.get(state[:2], Failure.DEFECT)


_INCARNATION = "incarnation"

# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
# A standby may lag behind: it has not heard of what the primary has committed.
_STATE = "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE pg_xact_status(%(number)s::xid8) END"
_NOT_GIVEN_YET = "22023"  # invalid_parameter_value: a number in the future

# The COMMIT has not arrived and the server waits for it. Should it come now, it loses against this or was faster.
_END_IDLE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_xid = %(number)s::xid8::xid AND state LIKE 'idle in transaction%%'"
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_SQLSTATE = {
    "40001": Failure.AGAIN,  # serialization_failure
    "40P01": Failure.AGAIN,  # deadlock_detected
    "23505": Failure.AGAIN,  # unique_violation: the other one is visible to the next attempt
    "57014": Failure.TIMEOUT,  # query_canceled, by statement_timeout
    "55P03": Failure.TIMEOUT,  # lock_not_available, by lock_timeout
    "57P01": Failure.LOST,  # admin_shutdown
    "57P02": Failure.LOST,  # crash_shutdown
    "57P03": Failure.LOST,  # cannot_connect_now: it starts, stops or recovers
    "53300": Failure.LOST,  # too_many_connections: none was made
    "25P03": Failure.LOST,  # idle_in_transaction_session_timeout
    "42501": Failure.REFUSED,  # insufficient_privilege
    "3F000": Failure.REFUSED,  # invalid_schema_name: to a user who may not even see the schema
    "25006": Failure.UNAVAILABLE,  # read_only_sql_transaction: a standby, a failover is under way
    "22021": Failure.REFUSED_TEXT,  # character_not_in_repertoire
    "22P05": Failure.REFUSED_TEXT,  # untranslatable_character: \u0000 in JSON
}
_BY_CLASS = {
    "08": Failure.LOST,  # connection exception
    "28": Failure.UNAVAILABLE,  # invalid authorization
    "3D": Failure.UNAVAILABLE,  # no such database
    "53": Failure.UNAVAILABLE,  # insufficient resources
    "57": Failure.UNAVAILABLE,  # operator intervention
    "58": Failure.UNAVAILABLE,  # system error
    "XX": Failure.UNAVAILABLE,  # internal error, corrupted data
}


def _lock_number(turn: str) -> int:
    """A lock for each name; two that share one merely wait for each other."""
    return int.from_bytes(hashlib.sha256(turn.encode()).digest()[:8], signed=True)


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))  # 0 would mean: no limit
