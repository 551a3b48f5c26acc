"""`download`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ledgerlift_client import Document
from ledgerlift_client.cli import _bars
from ledgerlift_client.cli._session import Session, common_options, pass_session
from ledgerlift_client.cli._words import safe

_STDOUT = "-"


@click.command()
@click.argument("document_id")
@click.option(
    "--output", "-o", type=click.Path(allow_dash=True), metavar="PATH",
    help="File or folder, `-` for stdout.  [default: the document's name, in this folder]",
)  # fmt: skip
@click.option("--force", "-f", is_flag=True, help="Replace a file that is there.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="First byte.")
@click.option("--length", type=click.IntRange(min=0), help="Number of bytes.  [default: to the end]")
@common_options
@pass_session
def download(
    session: Session, document_id: str, output: str | None, force: bool, offset: int, length: int | None
) -> None:
    """Fetch a document, verified, and print where it was put."""
    if output == _STDOUT:
        # Nothing else may go to stdout, so there is no line to print.
        session.client.download(document_id, sys.stdout.buffer, offset=offset, length=length)
        return
    path = Path(output) if output else None
    if path is None or path.is_dir():
        path = (path or Path()) / _local_name(session.client.get(document_id))
    if path.exists() and not force:
        raise FileExistsError(17, "is there already; --force replaces it", str(path))
    with _bars.shown(session.report, 1) as bars, bars.one(path.name) as progress:
        document = session.client.download(document_id, path, offset=offset, length=length, progress=progress)
    session.report.result(document, str(path), path=str(path))


def _local_name(document: Document) -> str:
    """A name for this folder: the document's, unless that would lead out of it or cannot be typed."""
    name = safe(Path(document.filename.replace("\\", "/")).name)
    return document.document_id if name in ("", ".", "..") else name


COMMANDS = (download,)
