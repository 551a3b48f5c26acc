"""The two doors put together: how many threads, which breaker, how long each dependency may take to answer."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, ExitStack

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.adapters.followed_dependency import FollowedDependency
from ledgerlift_server.domain.spans import NO_SPANS, Spans
from ledgerlift_server.resilience.breaker import (
    BreakerEvent,
    BreakerOptions,
    BreakerState,
    CircuitBreaker,
)
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.settings import Settings

logger = logging.getLogger(__name__)

STORAGE_QUEUE_WAIT = 30.0
"""Seconds that a call to the store queues for a thread, where its deadline allows that."""
FILE_THREADS = 16
"""Calls to the file store at once: what it waits for is one disk."""
FILE_TIMEOUT = 15.0
"""Seconds after which a disk that has not answered has failed."""
DATABASE_SHARE = 0.5
"""Of the statement timeout, after which a database that has not answered when its caller's deadline comes has failed.
Most callers wait for about as long as a statement may take, so their deadline would always be the first."""
MOST_GROWTH = 5.0
"""What the recovery timeout grows to at the most, as a multiple."""


def database_dependency(
    settings: Settings, stack: ExitStack | AsyncExitStack, connections: int, spans: Spans = NO_SPANS
) -> Dependency:
    """The door to the database, with a thread for each of its `connections`. Its threads end with `stack`."""
    bulkhead = Bulkhead("database", connections, max_wait=settings.db_pool_timeout)
    stack.callback(bulkhead.close)
    return _door(
        bulkhead,
        _breaker("database", settings.db_failure_threshold, settings.db_recovery_timeout),
        settings.db_statement_timeout * DATABASE_SHARE,
        spans,
    )


def storage_dependency(settings: Settings, stack: ExitStack | AsyncExitStack, spans: Spans = NO_SPANS) -> Dependency:
    """The door to the object store. Its threads end with `stack`."""
    on_files = settings.s3_bucket is None
    threads = FILE_THREADS if on_files else settings.s3_max_connections
    bulkhead = Bulkhead("storage", threads, max_wait=STORAGE_QUEUE_WAIT)
    stack.callback(bulkhead.close)
    return _door(
        bulkhead,
        _breaker("storage", settings.s3_failure_threshold, settings.s3_recovery_timeout),
        FILE_TIMEOUT if on_files else settings.s3_read_timeout,
        spans,
    )


def _door(bulkhead: Bulkhead, breaker: CircuitBreaker, own_timeout: float, spans: Spans) -> Dependency:
    if spans is NO_SPANS:
        return Dependency(bulkhead.name, bulkhead, breaker, own_timeout=own_timeout)
    return FollowedDependency(bulkhead.name, bulkhead, breaker, own_timeout=own_timeout, spans=spans)


def _breaker(name: str, failure_threshold: int, recovery_timeout: float) -> CircuitBreaker:
    options = BreakerOptions(
        failure_threshold=failure_threshold,
        recovery_timeout=recovery_timeout,
        max_recovery_timeout=recovery_timeout * MOST_GROWTH,
    )
    return CircuitBreaker(name, options, on_change=_log_change)


def _log_change(event: BreakerEvent) -> None:
    level = logging.WARNING if event.new is BreakerState.OPEN else logging.INFO
    facts = {"breaker": event.name, "old": event.old.value, "new": event.new.value}
    logger.log(level, "breaker_changed", extra=facts)
