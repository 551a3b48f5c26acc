"""Run a transaction until it holds: what certainly did not happen is repeated, an unanswered COMMIT is resolved.

    lost against another transaction ──────────> again, after a pause          (CONFLICTS)
    no connection, or it broke before COMMIT ──> again, after longer pauses    (outages, with a budget)
    COMMIT sent, no answer ─> ask on another connection how it ended ─> its result | again | nobody knows
    too slow, silent, full, damaged ───────────> raised at once

Here the driver's exceptions end: what leaves is of our own tree, a defect, or raised by the work itself.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledgerlift_server.adapters.sql.engine import DatabaseOptions
from ledgerlift_server.adapters.sql.flavour import Ending, Failure, Flavour, Mark
from ledgerlift_server.errors import (
    DeadlineExceeded,
    DependencyUnavailable,
    FieldViolation,
    InvalidRequest,
    Overloaded,
    TryLater,
)
from ledgerlift_server.resilience.deadline import time_left
from ledgerlift_server.resilience.retry import Attempts, RetryBudget, RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONFLICTS = RetryPolicy(first_pause=0.01, longest_pause=0.5, max_attempts=10, patience=10.0)
"""Of one transaction, when each of them lost against another. No budget: each time somebody else got on."""
OUTAGE_ATTEMPTS = 10
"""Of one transaction, questions how it ended included: the most connections that one call tries to make."""
OUTAGE_FIRST_PAUSE, OUTAGE_LONGEST_PAUSE = 0.2, 2.0
"""Seconds. A server that is away for 2 s, as in a restart, uses the attempts up once in 5,000 times (simulated)."""
BUDGET_REFILL = 0.2
"""Of a further attempt, for each transaction that held."""
DEADLINE_TOLERANCE = 0.01
"""Seconds by which a timeout that was set from the deadline may come before it."""


class Again(Exception):
    """Raised by the work: what it read does not fit together (any more); run it again."""


class _Lost(Exception):
    """There was no connection, or it broke: the transaction certainly did not happen."""


class _Unanswered(Exception):
    """The connection broke between COMMIT and its answer."""

    def __init__(self, mark: Mark, result: Any) -> None:
        """`result` is the work's, should it have been committed."""
        super().__init__(mark)
        self.mark = mark
        self.result = result


class Runner:
    """Runs transactions over one pool. On any thread."""

    def __init__(
        self,
        engine: Engine,
        flavour: Flavour,
        options: DatabaseOptions,
        *,
        connections: int,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`connections` is how many transactions run at once: so many can sit out one outage. `jitter` in [0, 1)."""
        self._engine = engine
        self._flavour = flavour
        self._options = options
        self._outages = RetryPolicy(
            OUTAGE_FIRST_PAUSE, OUTAGE_LONGEST_PAUSE, OUTAGE_ATTEMPTS, options.outage_patience
        )
        self.budget = RetryBudget(connections * (OUTAGE_ATTEMPTS - 1), BUDGET_REFILL)
        self._sleep = sleep
        self._jitter = jitter

    def run(self, name: str, work: Callable[[Connection], T], *, write: bool, turn: str | None = None) -> T:
        """The result of `work`, committed. `name` and `turn` as in `Database.write`, and so what it raises."""
        conflicts = Attempts(CONFLICTS, jitter=self._jitter)
        outages: Attempts | None = None
        while True:
            try:
                result = self._once(name, work, write, turn)
            except Again as lost:
                pause = conflicts.again()
                if pause is None:
                    logger.warning("transaction_kept_losing", extra={"transaction": name, "attempts": conflicts.made})
                    raise Overloaded("too many writers want the same rows") from lost
            except (_Lost, _Unanswered) as failure:
                # Its patience begins now: a transaction that was cut off late has the same time as one that was not.
                outages = outages or Attempts(self._outages, self.budget, jitter=self._jitter)
                if isinstance(failure, _Unanswered) and self._committed(name, failure, outages):
                    return failure.result  # type: ignore[no-any-return]  # what `work` returned
                pause = outages.again()
                if pause is None:
                    logger.warning("database_lost", extra={"transaction": name, "attempts": outages.made})
                    raise DependencyUnavailable("the database cannot be asked") from failure
            else:
                self.budget.succeeded()
                return result
            self._sleep(pause)

    def try_once(self, name: str, work: Callable[[Connection], T]) -> T:
        """As `run`, of work that only reads and shall see how the database is at this moment."""
        try:
            return self._once(name, work, write=False)
        except _Lost as lost:
            raise DependencyUnavailable("the database cannot be asked") from lost

    def _once(self, name: str, work: Callable[[Connection], T], write: bool, turn: str | None = None) -> T:
        limit = time_left(self._options.statement_timeout)
        if limit <= 0:
            raise DeadlineExceeded("the deadline passed before the database was asked")
        try:
            with self._flavour.attempt(write=write, limit=limit), self._engine.connect() as connection:
                return self._in_transaction(connection, work, write, limit, turn)
        except DBAPIError as error:
            raise self._meaning(name, error) from error
        except PoolTimeout as error:
            raise _rerun(Overloaded("the database has no connection free")) from error
        except TimeoutError as error:
            raise _too_slow(Overloaded("too many writers want their turn")) from error
        except ValueError as error:
            if "NUL" in str(error):  # psycopg2 refuses it itself, before anything is sent
                raise _refused_text() from error
            raise

    def _in_transaction(
        self, connection: Connection, work: Callable[[Connection], T], write: bool, limit: float, turn: str | None
    ) -> T:
        try:
            mark = self._flavour.begin(connection, write=write, limit=limit, turn=turn)
            result = work(connection)
            try:
                self._flavour.commit(connection)
            except DBAPIError as error:
                if mark is not None and self._flavour.classify(error) in (Failure.LOST, Failure.SILENT):
                    raise _Unanswered(mark, result) from error
                raise
        except BaseException:
            _undo(connection)
            raise
        return result

    def _committed(self, name: str, unanswered: _Unanswered, attempts: Attempts) -> bool:
        """Find out whether the transaction took place. Raises DependencyUnavailable when that cannot be told."""
        while True:
            ending = self._ending(unanswered.mark)
            logger.warning("commit_unanswered", extra={"transaction": name, "ending": ending.name.lower()})
            match ending:
                case Ending.COMMITTED:
                    return True
                case Ending.UNDONE:
                    return False
                case Ending.OPEN:
                    pause = attempts.again()
                    if pause is not None:
                        self._sleep(pause)
                        continue
            raise _too_slow(_rerun(DependencyUnavailable("whether it was stored is not known"))) from unanswered

    def _ending(self, mark: Mark) -> Ending:
        limit = time_left(self._options.outage_patience)
        try:
            with self._flavour.attempt(write=False, limit=limit), self._engine.connect() as connection:
                return self._flavour.ending(connection, mark)
        except (DBAPIError, PoolTimeout):
            return Ending.OPEN  # as far as anybody can see

    def _meaning(self, name: str, error: DBAPIError) -> Exception:
        match self._flavour.classify(error):
            case Failure.AGAIN:
                return Again()
            case Failure.TIMEOUT | Failure.SILENT:
                return _too_slow(DependencyUnavailable("the database did not answer in its own time"))
            case Failure.REFUSED_TEXT:
                return _refused_text()
            case Failure.LOST:
                logger.warning("connection_lost", extra={"transaction": name, "cause": str(error.orig).strip()})
                return _Lost()
            case Failure.UNAVAILABLE:
                logger.warning("database_failed", extra={"transaction": name, "cause": str(error.orig).strip()})
                return DependencyUnavailable("the database cannot be asked")
            case Failure.REFUSED:
                logger.warning("database_refused", extra={"transaction": name, "cause": str(error.orig).strip()})
                return DependencyUnavailable("the database refuses its user a right", retry_after=5.0, answered=True)
            case Failure.DEFECT:
                return error


def _undo(connection: Connection) -> None:
    """Roll back; a connection on which that fails is not used again."""
    if connection.invalidated:
        return
    try:
        connection.exec_driver_sql("ROLLBACK")
    except Exception:
        connection.invalidate()


def _rerun(error: TryLater) -> TryLater:
    """Nothing was begun, or nobody can tell: the caller's whole method may be run again."""
    error.rerun = True
    return error


def _too_slow(otherwise: TryLater) -> TryLater | DeadlineExceeded:
    if time_left(1.0) < DEADLINE_TOLERANCE:
        return DeadlineExceeded("the database did not answer before the deadline")
    return otherwise


def _refused_text() -> InvalidRequest:
    return InvalidRequest([FieldViolation("", "must not contain the character NUL")])
