"""`upload` and `download`."""

from __future__ import annotations

import shlex
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ledgerlift_client import Document, DuplicatePolicy, UploadResult, errors
from ledgerlift_client._channel import DEFAULT_TARGET
from ledgerlift_client.cli._app import Session, json_option, pass_session
from ledgerlift_client.cli._bar import bar
from ledgerlift_client.cli._report import safe

STDIN = "-"
_POLICIES = {policy.value.lower().replace("_", "-"): policy for policy in DuplicatePolicy}
_CAN_GO_ON = (errors.TryLater, errors.DeadlineExceeded, errors.ServerError, KeyboardInterrupt, OSError)
_NEVER_BEGAN = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)


def _labels(_context: click.Context, _option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"must be NAME=VALUE, not {value!r}")
        if name in labels:
            raise click.BadParameter(f"{name!r} is given twice")
        labels[name] = text
    return labels


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--key", help="Your own key for the document, unique among your documents.")
@click.option("--metadata", "-m", multiple=True, callback=_labels, metavar="NAME=VALUE", help="A label; repeatable.")
@click.option("--content-type", help="Media type.  [default: by the file's name]")
@click.option("--filename", help="Name of the document.  [default: the file's]")
@click.option(
    "--duplicate-policy",
    type=click.Choice(list(_POLICIES)),
    default="return-existing",
    show_default=True,
    callback=lambda _context, _option, value: _POLICIES[value],
    help="When you have these bytes already.",
)
@click.option("--sha256", metavar="HEX", help="The document's digest, so that a duplicate need not be sent.")
@click.option("--request-id", help="Makes the upload exactly-once; the same id goes on with what was begun.")
@json_option
@pass_session
def upload(session: Session, /, files: Sequence[str], request_id: str | None, **options: Any) -> None:
    """Store FILES (`-` for stdin) and print their document ids.

    An id is printed when its document is durable. After an interruption the printed command goes on
    with what is durable already.
    """
    single = {"--request-id": request_id, **{f"--{name}": options[name] for name in ("key", "filename", "sha256")}}
    if len(files) > 1 and (given := [name for name, value in single.items() if value]):
        raise click.UsageError(f"{', '.join(given)} can be given with one file only")
    if STDIN in files and not options["filename"]:
        raise click.UsageError("--filename is needed for what comes from stdin")
    for file in files:
        wanted = request_id or str(uuid.uuid4())
        try:
            result = _upload(session, file, wanted, options)
        except (errors.LedgerLiftError, OSError, KeyboardInterrupt) as error:
            goes_on = isinstance(error, _CAN_GO_ON) and not isinstance(error, _NEVER_BEGAN)
            hint = _how_to_go_on(session, file, wanted, options) if goes_on else ""
            session.report.failure(error, about=safe(file), hint=hint)
            if isinstance(error, KeyboardInterrupt):
                return
            continue
        _tell(session, file, result, options)


def _upload(session: Session, file: str, request_id: str, options: dict[str, Any]) -> UploadResult:
    given = {name: value for name, value in options.items() if value}
    with bar(given.get("filename") or Path(file).name, shown=not session.report.quiet) as progress:
        return session.client.upload(
            sys.stdin.buffer if file == STDIN else file, request_id=request_id, progress=progress, **given
        )


def _tell(session: Session, file: str, result: UploadResult, options: dict[str, Any]) -> None:
    if result.duplicate:
        asked = {name: options[name] for name in ("key", "metadata", "content_type", "filename") if options[name]}
        lost = [name for name, value in asked.items() if value != getattr(result.document, name)]
        but = f"; not taken: {', '.join('--' + name.replace('_', '-') for name in lost)}" if lost else ""
        session.report.note(f"ledgerlift: {safe(file)}: these bytes were there already{but}")
    session.report.result(result, result.document.document_id, source=file)


def _how_to_go_on(session: Session, file: str, request_id: str, options: dict[str, Any]) -> str:
    """The command that goes on: the same description must come with the same request id."""
    words = ["ledgerlift"]
    if session.target != DEFAULT_TARGET:
        words += ["--target", session.target]
    words += ["upload", file, "--request-id", request_id]
    for name in ("key", "content_type", "filename", "sha256"):
        if options[name]:
            words += [f"--{name.replace('_', '-')}", options[name]]
    for name, value in options["metadata"].items():
        words += ["--metadata", f"{name}={value}"]
    if options["duplicate_policy"] != DuplicatePolicy.RETURN_EXISTING:
        words += ["--duplicate-policy", options["duplicate_policy"].value.lower().replace("_", "-")]
    return f"To go on where this ended: {shlex.join(words)}"


@click.command()
@click.argument("document_id")
@click.option(
    "--output", "-o", metavar="PATH", help="File or folder, `-` for stdout.  [default: the document's name]"
)
@click.option("--force", "-f", is_flag=True, help="Replace a file that is there.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="First byte.")
@click.option("--length", type=click.IntRange(min=0), help="Number of bytes.  [default: to the end]")
@json_option
@pass_session
def download(
    session: Session, document_id: str, output: str | None, force: bool, offset: int, length: int | None
) -> None:
    """Fetch a document, verified, and print where it was put."""
    if output == STDIN:
        # Nothing else may go to stdout, so there is no line to print.
        session.client.download(document_id, sys.stdout.buffer, offset=offset, length=length)
        return
    path = Path(output) if output else None
    if path is None or path.is_dir():
        path = (path or Path()) / _local_name(session.client.get(document_id))
    if path.exists() and not force:
        raise FileExistsError(17, "is there already; --force replaces it", str(path))
    with bar(path.name, shown=not session.report.quiet) as progress:
        document = session.client.download(document_id, path, offset=offset, length=length, progress=progress)
    session.report.result(document, str(path), path=str(path))


def _local_name(document: Document) -> str:
    """A name for this folder: the document's, unless that would lead out of it or cannot be typed."""
    name = safe(Path(document.filename.replace("\\", "/")).name)
    return document.document_id if name in ("", ".", "..") else name


COMMANDS = (upload, download)
