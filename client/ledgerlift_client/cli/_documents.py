"""`ls`, `show`, `rm` and `events`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ledgerlift_client import Document, Event, ProcessingStatus, errors
from ledgerlift_client.cli._app import Session, json_option, pass_session
from ledgerlift_client.cli._report import human_size, safe, when

_MOST_PER_PAGE = 1000
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
_COLUMNS = ("ID", "SIZE", "TYPE", "STATUS", "CREATED", "KEY", "NAME")
_MOST_NEEDED = ("ID", "NAME", "SIZE", "STATUS", "KEY", "CREATED", "TYPE")
"""Who goes first where a terminal is narrow. The others are left out: half of an id is of no use to anybody."""
_BREAK_FROM = 24
"""Cells of a key or a name that keep other columns out; what is longer takes several lines."""
_GAP = 2
_STATUSES = [status.value for status in ProcessingStatus if status is not ProcessingStatus.UNKNOWN]


@click.command("ls")
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only in this status.")
@click.option("--content-type", help="Only of this media type.")
@click.option("--key-prefix", help="Only with keys that begin like this.")
@click.option("--since", type=click.DateTime(_TIMES), metavar="TIME", help="Only created then or later (UTC).")
@click.option("--until", type=click.DateTime(_TIMES), metavar="TIME", help="Only created before then (UTC).")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@json_option
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
        page_size=min(limit + 1, _MOST_PER_PAGE),
    )
    documents = islice(found, limit)
    if sys.stdout.isatty() and not session.report.as_json:
        _table(documents)
    else:
        for document in documents:
            session.report.result(document, "\t".join(_cells(document)))
    if next(found, None) is not None:
        session.report.note(f"ledgerlift: there are more than {limit}; --limit shows more")


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


def _table(documents: Iterable[Document]) -> None:
    console = Console()
    rows = []
    for document in documents:
        row = dict(zip(_COLUMNS, _cells(document), strict=True))
        row |= {"SIZE": human_size(document.size), "CREATED": document.create_time.strftime("%Y-%m-%d %H:%M")}
        rows.append(row)
    columns = _that_fit(rows, console.width)
    table = Table(box=None, header_style="bold", padding=(0, _GAP, 0, 0), pad_edge=False)
    for column in columns:
        right = "right" if column == "SIZE" else "left"
        table.add_column(column, justify=right, no_wrap=column not in ("KEY", "NAME"), overflow="fold")  # type: ignore[arg-type]  # a literal of rich's
    for row in rows:
        table.add_row(*(Text(row[column]) for column in columns))
    console.print(table)


def _that_fit(rows: Sequence[dict[str, str]], width: int) -> list[str]:
    """The columns for a terminal of `width` cells."""
    needed = {column: max(cell_len(row[column]) for row in [*rows, {column: column}]) for column in _COLUMNS}
    needed |= {column: min(needed[column], _BREAK_FROM) for column in ("KEY", "NAME")}
    room = width + _GAP  # behind the last one there is no gap
    kept = set()
    for column in _MOST_NEEDED:
        if column in ("ID", "NAME") or needed[column] + _GAP <= room:
            kept.add(column)
            room -= needed[column] + _GAP
    return [column for column in _COLUMNS if column in kept]


@click.command()
@click.argument("document_id")
@json_option
@pass_session
def show(session: Session, document_id: str) -> None:
    """Show everything about a document."""
    document = session.client.get(document_id)
    lines = [
        ("id", document.document_id),
        ("name", document.filename),
        ("type", document.content_type),
        ("size", f"{document.size} ({human_size(document.size)})"),
        ("sha256", document.sha256),
        ("key", document.key),
        ("owner", document.owner),
        ("status", document.status.value),
        ("error", document.error_message),
        ("created", when(document.create_time)),
        ("updated", when(document.update_time)),
        *((f"metadata.{name}", value) for name, value in sorted(document.metadata.items())),
    ]
    width = max(len(name) for name, _ in lines)
    text = "\n".join(f"{safe(name):{width}}  {safe(value)}" for name, value in lines if value)
    session.report.result(document, text)


@click.command()
@click.argument("document_ids", nargs=-1, required=True)
@json_option
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
@click.argument("document_id", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on, until interrupted.")
@json_option
@pass_session
def events(session: Session, document_id: str | None, follow: bool) -> None:
    """Show the audit trail, oldest first, of one document or of all."""
    source = session.client.watch_events(document_id) if follow else session.client.events(document_id)
    for event in source:
        session.report.result(event, "\t".join(_event_cells(event)))


def _event_cells(event: Event) -> tuple[str, ...]:
    facts = dict(event.detail)
    if event.to_status is not None:
        facts["status"] = f"{event.from_status.value if event.from_status else ''}->{event.to_status.value}"
    detail = " ".join(f"{name}={value}" for name, value in sorted(facts.items()))
    about = event.document_id or event.upload_id
    return when(event.create_time), safe(event.type), safe(about), safe(event.actor), safe(detail)


COMMANDS = (list_documents, show, rm, events)
