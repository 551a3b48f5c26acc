"""The database: reachable, of a version and schema that fit, with connections for the pools, and its clock."""

from __future__ import annotations

from collections.abc import Iterable

from ledgerlift_server.adapters.sql import DatabaseFacts, describe, inspect_database
from ledgerlift_server.doctor.clocks import DATABASE_TOLERANCE, clock
from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.errors import DependencyUnavailable
from ledgerlift_server.settings import Settings

ADVICE = "check DATABASE_URL, that the database runs, and that nothing between is in the way"


def look_at_database(settings: Settings, *, replicas: int, limit: float) -> Iterable[Finding]:
    """`replicas` share the database; `limit` in seconds is for its answers."""
    where = describe(settings.sqlalchemy_url)
    try:
        facts = inspect_database(
            settings.sqlalchemy_url, connect_timeout=min(settings.db_connect_timeout, limit), limit=limit
        )
    except DependencyUnavailable as failed:
        yield Finding("database", State.FAIL, f"{where}: {failed.message}", ADVICE)
        return
    if facts is None:
        yield Finding("database", State.OK, f"{where} is not there yet; it is made at start")
        return
    yield Finding("database", State.OK, f"{facts.server}, {where}, answers in {facts.round_trip * 1000:.1f} ms")
    yield from _fitness(settings, facts)
    if facts.capacity is not None:
        yield _capacity(settings, facts.capacity.limit, facts.capacity.in_use, replicas)
    if facts.clock_ahead is not None:
        yield clock("database clock", facts.clock_ahead, tolerated=DATABASE_TOLERANCE)


def _fitness(settings: Settings, facts: DatabaseFacts) -> Iterable[Finding]:
    if facts.read_only:
        advice = "let DATABASE_URL name the primary, or end the failover that is under way"
        yield Finding("database", State.FAIL, "it takes no writes: a standby, or read-only by a setting", advice)
    if facts.too_old:
        yield Finding("database version", State.FAIL, facts.too_old, "use a newer one, in UTF8")
        return
    if not facts.schema_problem:
        yield Finding("database schema", State.OK, "one that this version may run on")
    elif settings.embedded_database:
        yield Finding("database schema", State.OK, f"{facts.schema_problem}; that is done at start")
    else:
        advice = "run `ledgerlift-server migrate` of the version that is to serve"
        yield Finding("database schema", State.FAIL, facts.schema_problem, advice)


def _capacity(settings: Settings, limit: int, in_use: int, replicas: int) -> Finding:
    """During an upgrade one replica more is there (docs/operations.md, Sizing)."""
    pool = settings.db_pool_size + settings.db_max_overflow
    figure = f"{replicas + 1} x {pool} wanted by {replicas} replicas and one more in an upgrade, {limit} allowed"
    figure += f", {in_use} in use now"
    share = max(1, limit // (replicas + 1))
    advice = f"lower DB_POOL_SIZE and DB_MAX_OVERFLOW to {share} together, or raise max_connections"
    if replicas * pool > limit:
        return Finding("database connections", State.FAIL, figure, advice)
    if (replicas + 1) * pool > limit:
        return Finding("database connections", State.WARN, figure, advice)
    return Finding("database connections", State.OK, figure)
