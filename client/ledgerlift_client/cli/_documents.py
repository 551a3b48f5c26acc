"""`ls`, `show`, `rm`, `status` and `stats`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from ledgerlift_client import Count, Document, ProcessingStatus, StorageStats, errors
from ledgerlift_client.cli._session import Session, common_options, pass_session
from ledgerlift_client.cli._tables import Table
from ledgerlift_client.cli._words import aligned, paint_state, safe, span, when
from ledgerlift_client.helpers import human_size

MOST_PER_PAGE = 1000
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
_TIME = "2026-11-26 or 2026-11-26T08:30:00, in UTC"
_STATUSES = [status.value for status in ProcessingStatus if status is not ProcessingStatus.UNKNOWN]


def _cells(document: Document) -> tuple[str, ...]:
    return (
        document.document_id,
        str(document.size),
        safe(document.content_type),
        document.status.value,
        when(document.create_time),
        safe(document.key),
        safe(document.filename),
    )


def _nice(document: Document) -> dict[str, str]:
    return {"SIZE": human_size(document.size), "CREATED": document.create_time.strftime("%Y-%m-%d %H:%M")}


DOCUMENTS = Table(
    columns=("ID", "SIZE", "TYPE", "STATUS", "CREATED", "KEY", "NAME"),
    most_needed=("ID", "NAME", "SIZE", "STATUS", "KEY", "CREATED", "TYPE"),
    always=("ID", "NAME"),
    long=("KEY", "NAME"),
    right=("SIZE",),
    cells=_cells,
    nice=_nice,
)


@click.command("ls")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only in this status.")
@click.option("--content-type", help="Only of this media type.")
@click.option("--key-prefix", help="Only with keys that begin like this.")
@click.option("--since", type=click.DateTime(_TIMES), metavar="TIME", help=f"Only created then or later; {_TIME}.")
@click.option("--until", type=click.DateTime(_TIMES), metavar="TIME", help=f"Only created before then; {_TIME}.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@common_options
@pass_session
def list_documents(
    session: Session,
    status: str | None,
    content_type: str | None,
    key_prefix: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List documents, newest first.

    A table on a terminal, of the columns that it has room for; tab-separated lines without a heading
    elsewhere.
    """
    found = session.client.list(
        status=ProcessingStatus(status) if status else None,
        content_type=content_type,
        key_prefix=key_prefix,
        created_after=since.replace(tzinfo=UTC) if since else None,
        created_before=until.replace(tzinfo=UTC) if until else None,
        page_size=min(limit + 1, MOST_PER_PAGE),
    )
    DOCUMENTS.show(session.report, found, limit)


@click.command()
@click.argument("document_id")
@common_options
@pass_session
def show(session: Session, document_id: str) -> None:
    """Show everything about a document."""
    document = session.client.get(document_id)
    lines = [
        ("id", document.document_id),
        ("name", safe(document.filename)),
        ("type", safe(document.content_type)),
        ("size", f"{document.size} ({human_size(document.size)})"),
        ("sha256", document.sha256),
        ("key", safe(document.key)),
        ("owner", safe(document.owner)),
        ("status", paint_state(document.status.value)),
        ("error", safe(document.error_message)),
        ("created", when(document.create_time)),
        ("updated", when(document.update_time)),
        *((f"metadata.{name}", safe(value)) for name, value in sorted(document.metadata.items())),
    ]
    session.report.result(document, aligned(lines))


@click.command()
@click.argument("document_ids", nargs=-1, required=True)
@common_options
@pass_session
def rm(session: Session, document_ids: Sequence[str]) -> None:
    """Delete documents. One that is deleted already is fine."""
    for document_id in document_ids:
        try:
            session.client.delete(document_id)
        except errors.LedgerLiftError as error:
            session.report.failure(error, about=safe(document_id))
        else:
            session.report.result({"document_id": document_id, "deleted": True}, document_id)


@click.command()
@click.argument("document_id")
@click.argument("new_status", required=False, type=click.Choice(_STATUSES, case_sensitive=False))
@click.option("--error", "error_message", default="", metavar="TEXT", help="Why it failed; with FAILED only.")
@click.option("--request-id", help="Makes the change exactly-once: a repeat with the same id changes nothing more.")
@common_options
@pass_session
def status(
    session: Session, document_id: str, new_status: str | None, error_message: str, request_id: str | None
) -> None:
    """Show how far the processing of a document is, or set it.

    A document is UPLOADED, then PROCESSING, then COMPLETED or FAILED; from FAILED it may be RETRYING. The
    server refuses other changes, and each change is in the audit trail.
    """
    if new_status is None:
        if error_message or request_id:
            raise click.UsageError("--error and --request-id go with a new status")
        document = session.client.get(document_id)
    elif error_message and new_status != ProcessingStatus.FAILED.value:
        raise click.UsageError("--error goes with FAILED only")
    else:
        document = session.client.update_status(
            document_id, ProcessingStatus(new_status), error_message=error_message, request_id=request_id
        )
    why = f"\t{safe(document.error_message)}" if document.error_message else ""
    session.report.result(document, f"{paint_state(document.status.value)}{why}")


@click.command()
@click.option("--storage", is_flag=True, help="Of the object store's operations instead, for operators.")
@common_options
@pass_session
def stats(session: Session, storage: bool) -> None:
    """Count your documents and their bytes, by status and by type."""
    if storage:
        operations = session.client.storage_stats()
        session.report.result(operations, aligned(_storage_lines(operations)))
        return
    found = session.client.stats()
    lines = [
        ("documents", _count(found.total)),
        ("stored", f"{found.objects} objects, {human_size(found.stored_size)}: shared bytes count once"),
        *((name.value, _count(count)) for name, count in sorted(found.by_status.items())),
        *((name, _count(count)) for name, count in sorted(found.by_content_type.items())),
    ]
    session.report.result(found, aligned(lines))


def _count(count: Count) -> str:
    return f"{count.documents}, {human_size(count.total_size)}"


def _storage_lines(found: StorageStats) -> list[tuple[str, str]]:
    lines = [("backend", found.backend)]
    if found.client_age is not None:
        lines.append(("client", f"made {span(found.client_age)} ago"))
    for one in found.operations:
        times = f"mean {span(one.mean_latency)}, at most {span(one.max_latency)}"
        lines.append((one.operation, f"{one.call_count} calls, {one.failure_count} failed, {times}"))
    return lines


COMMANDS = (list_documents, show, rm, status, stats)
