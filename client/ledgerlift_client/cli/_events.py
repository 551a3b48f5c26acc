"""`events`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from ledgerlift_client import Event
from ledgerlift_client.cli._command_lines import command_line
from ledgerlift_client.cli._session import Session, common_options, pass_session
from ledgerlift_client.cli._words import safe, when


@click.command()
@click.argument("document_id", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on, until interrupted.")
@click.option("--cursor", default="", help="With --follow: begin right after the entry that had this cursor.")
@common_options
@pass_session
def events(session: Session, document_id: str | None, follow: bool, cursor: str) -> None:
    """Show the audit trail, oldest first, of one document or of all.

    With --follow, Ctrl-C ends it, and the command that it prints goes on right there: no entry is
    skipped, none repeated. Each entry's cursor is in its --json.
    """
    if cursor and not follow:
        raise click.UsageError("--cursor goes with --follow")
    if not follow:
        for event in session.client.events(document_id):
            _tell(session, event)
        return
    try:
        for event in session.client.watch_events(document_id, cursor=cursor):
            with interrupted_at_its_end():
                _tell(session, event)
                cursor = event.cursor
    except KeyboardInterrupt as interrupted:
        words = ["events", *([document_id] if document_id else []), "--follow"]
        hint = command_line(session, [*words, "--cursor", cursor]) if cursor else ""
        session.report.failure(interrupted, hint=f"To go on after the last entry: {hint}" if hint else "")


@contextmanager
def interrupted_at_its_end() -> Iterator[None]:
    """The first Ctrl-C within the block takes effect at its end: an entry is told with its cursor, or not at all.

    The second does at once: who reads stdout may have stopped to read.
    """
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        if len(caught) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        raise KeyboardInterrupt


def _tell(session: Session, event: Event) -> None:
    session.report.result(event, "\t".join(_cells(event)))


def _cells(event: Event) -> tuple[str, ...]:
    facts = dict(event.detail)
    if event.to_status is not None:
        facts["status"] = f"{event.from_status.value if event.from_status else ''}->{event.to_status.value}"
    detail = " ".join(f"{name}={value}" for name, value in sorted(facts.items()))
    about = event.document_id or event.upload_id
    return when(event.create_time), safe(event.type), safe(about), safe(event.actor), safe(detail)


COMMANDS = (events,)
