"""`health`, `breakers` and `limits`: the service itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from ledgerlift_client import CircuitBreaker, ComponentHealth, HealthReport, HealthStatus, errors
from ledgerlift_client.cli import exit_codes
from ledgerlift_client.cli._session import Session, common_options, pass_session
from ledgerlift_client.cli._words import aligned, paint_state, safe, span
from ledgerlift_client.helpers import human_size


@click.command()
@common_options
@pass_session
def health(session: Session) -> None:
    """Show the health of the service and of what it needs.

    Its database, its object store, its disk and memory, and what is wrong with them.

    Exit code 0 when requests are served (HEALTHY, DEGRADED), 11 when some have to be refused (UNHEALTHY).
    """
    report = session.client.health()
    session.report.result(report, aligned(_health_lines(report)))
    if report.status is HealthStatus.UNHEALTHY:
        session.report.exit_code = exit_codes.UNHEALTHY


def _health_lines(report: HealthReport) -> Iterator[tuple[str, str]]:
    yield "status", paint_state(report.status.value)
    yield "issues", ", ".join(report.issues)
    yield "database", _component(report.database)
    yield "storage", _component(report.storage)
    for breaker in report.breakers:
        yield f"breaker {breaker.name}", paint_state(breaker.state.value)
    if report.pool is not None:
        yield "pool", f"{report.pool.checked_out} of {report.pool.max_connections} connections in use"
    if report.system is not None:
        yield "processors", f"{report.system.cpu_percent:.0f} % in use"
        yield "memory", f"{report.system.memory_percent:.0f} % in use"
        yield "process", human_size(report.system.process_memory)
        yield "disk", f"{report.system.disk_percent:.0f} % in use"
    yield "documents", f"{report.document_count}, {human_size(report.total_size)}"
    yield "uptime", span(report.uptime)
    yield "version", safe(report.version)


def _component(health: ComponentHealth) -> str:
    took = f", answered in {span(health.response_time)}" if health.response_time is not None else ""
    said = f": {safe(health.message)}" if health.message else ""
    return f"{paint_state(health.status.value)}{took}{said}"


@click.group(invoke_without_command=True)
@common_options
@click.pass_context
def breakers(context: click.Context) -> None:
    """List or reset the server's circuit breakers.

    Of several servers behind the target it is the one that answers. Without a command they are listed.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_breakers)


@breakers.command("list")
@common_options
@pass_session
def list_breakers(session: Session) -> None:
    """List the circuit breakers: their state, and what they counted."""
    for breaker in session.client.circuit_breakers():
        _tell(session, breaker)


@breakers.command()
@click.argument("names", nargs=-1, required=True)
@common_options
@pass_session
def reset(session: Session, names: Sequence[str]) -> None:
    """Close circuit breakers and forget what they counted.

    NAMES are those that `breakers list` shows, such as storage.
    """
    for name in names:
        try:
            breaker = session.client.reset_circuit_breaker(name)
        except errors.LedgerLiftError as error:
            session.report.failure(error, about=safe(name))
        else:
            _tell(session, breaker)


def _tell(session: Session, breaker: CircuitBreaker) -> None:
    cells = [
        safe(breaker.name),
        paint_state(breaker.state.value),
        f"{breaker.consecutive_failures} failures in a row",
        f"{breaker.window_failures} of {breaker.window_calls} lately",
        f"opened {breaker.opened_count} times",
        f"{breaker.refused_count} refused",
    ]
    if breaker.retry_after is not None:
        cells.append(f"lets probes through in {span(breaker.retry_after)}")
    session.report.result(breaker, "\t".join(cells))


@click.command()
@common_options
@pass_session
def limits(session: Session) -> None:
    """Show the server's limits: sizes, types and times."""
    found = session.client.limits()
    lines = [
        ("document", f"at most {human_size(found.max_document_size)}"),
        ("message", f"at most {human_size(found.max_message_size)}"),
        ("segment", human_size(found.segment_size)),
        ("part", human_size(found.part_size)),
        ("labels", f"at most {found.max_metadata_entries}"),
        ("session", f"expires after {span(found.session_lifetime)} without news"),
        ("request id", f"kept for {span(found.request_id_lifetime)}"),
        ("stall", f"ends a call after {span(found.stall_timeout)}"),
        ("types", ", ".join(map(safe, found.allowed_content_types)) or "all"),
    ]
    session.report.result(found, aligned(lines))


COMMANDS = (health, breakers, limits)
