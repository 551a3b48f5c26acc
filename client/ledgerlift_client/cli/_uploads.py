"""`uploads`: the sessions of uploads that were begun."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePath

import click

from ledgerlift_client import Upload, UploadState, errors
from ledgerlift_client.cli import _bars
from ledgerlift_client.cli._command_lines import command_line
from ledgerlift_client.cli._documents import MOST_PER_PAGE
from ledgerlift_client.cli._plan import STDIN
from ledgerlift_client.cli._session import Session, common_options, pass_session
from ledgerlift_client.cli._tables import Table
from ledgerlift_client.cli._uploading import CAN_FAIL, can_go_on
from ledgerlift_client.cli._words import safe, when
from ledgerlift_client.helpers import human_size

_STATES = [state.value for state in UploadState if state is not UploadState.UNKNOWN]


def _cells(upload: Upload) -> tuple[str, ...]:
    return (
        upload.upload_id,
        upload.state.value,
        str(upload.persisted_size),
        "" if upload.spec.size is None else str(upload.spec.size),
        when(upload.update_time),
        when(upload.expire_time),
        safe(upload.spec.key),
        safe(upload.spec.filename),
    )


def _nice(upload: Upload) -> dict[str, str]:
    return {
        "DURABLE": human_size(upload.persisted_size),
        "SIZE": "?" if upload.spec.size is None else human_size(upload.spec.size),
        "UPDATED": upload.update_time.strftime("%Y-%m-%d %H:%M"),
        "EXPIRES": upload.expire_time.strftime("%Y-%m-%d %H:%M"),
    }


UPLOADS = Table(
    columns=("ID", "STATE", "DURABLE", "SIZE", "UPDATED", "EXPIRES", "KEY", "NAME"),
    most_needed=("ID", "NAME", "STATE", "DURABLE", "SIZE", "EXPIRES", "UPDATED", "KEY"),
    always=("ID", "NAME"),
    long=("KEY", "NAME"),
    right=("DURABLE", "SIZE"),
    cells=_cells,
    nice=_nice,
)


@click.group()
def uploads() -> None:
    """List, resume or give up uploads that were begun."""


@uploads.command("list")
@click.option("--state", type=click.Choice(_STATES, case_sensitive=False), help="Only in this state.")
@click.option("--request-id", help="Only of this request id.")
@click.option("--limit", "-n", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@common_options
@pass_session
def list_uploads(session: Session, state: str | None, request_id: str | None, limit: int) -> None:
    """List uploads, newest first, and how much of each is stored.

    Those that are ACTIVE can be gone on with until they expire.
    """
    found = session.client.list_uploads(
        state=UploadState(state) if state else None,
        request_id=request_id,
        page_size=min(limit + 1, MOST_PER_PAGE),
    )
    UPLOADS.show(session.report, found, limit)


@uploads.command()
@click.argument("upload_id")
@click.argument("file", type=click.Path(allow_dash=True))
@common_options
@pass_session
def resume(session: Session, upload_id: str, file: str) -> None:
    """Finish an upload that was begun, and print its document's id.

    FILE (`-` for stdin) must give the document from its first byte: what is durable is not sent again, but
    read and hashed, so that the whole document is verified.
    """
    source = sys.stdin.buffer if file == STDIN else file
    try:
        with _bars.shown(session.report, 1) as bars, bars.one(PurePath(file).name) as progress:
            result = session.client.resume(upload_id, source, progress=progress)
    except CAN_FAIL as error:
        command = command_line(session, ["uploads", "resume", upload_id, file])
        hint = f"To go on where this ended: {command}" if can_go_on(error) else ""
        session.report.failure(error, about=safe(file), hint=hint)
        return
    session.report.result(result, result.document.document_id, source=file)


@uploads.command()
@click.argument("upload_ids", nargs=-1, required=True)
@common_options
@pass_session
def cancel(session: Session, upload_ids: Sequence[str]) -> None:
    """Give uploads up; what of them is stored is removed.

    One that is given up already is fine; one that has become a document is not.
    """
    for upload_id in upload_ids:
        try:
            upload = session.client.cancel_upload(upload_id)
        except errors.LedgerLiftError as error:
            session.report.failure(error, about=safe(upload_id))
        else:
            session.report.result(upload, upload_id)


COMMANDS = (uploads,)
