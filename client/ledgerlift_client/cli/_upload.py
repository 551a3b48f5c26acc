"""`upload`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from ledgerlift_client import DuplicatePolicy, UploadItem
from ledgerlift_client.cli._command_lines import command_line
from ledgerlift_client.cli._plan import STDIN, Item, Plan, make_plan
from ledgerlift_client.cli._session import Session, common_options, pass_session
from ledgerlift_client.cli._uploading import Uploading
from ledgerlift_client.cli._words import safe

_POLICIES = {policy.value.lower().replace("_", "-"): policy for policy in DuplicatePolicy}


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


@dataclass(frozen=True)
class Wanted:
    """The options that describe documents."""

    key: str | None
    metadata: Mapping[str, str]
    content_type: str | None
    filename: str | None
    duplicate_policy: str
    sha256: str | None

    def item(self, item: Item) -> UploadItem:
        """What the client library is to do with a file."""
        return UploadItem(
            sys.stdin.buffer if item.path == STDIN else item.path,
            filename=self.filename,
            content_type=self.content_type,
            key=self.key or item.key or None,
            metadata=self.metadata,
            duplicate_policy=_POLICIES[self.duplicate_policy],
            request_id=item.request_id,
            sha256=self.sha256,
        )

    def words(self) -> list[str]:
        """The options again: the same request id has to come with the same description."""
        words = []
        for name in ("key", "content_type", "filename", "sha256"):
            if value := getattr(self, name):
                words += [f"--{name.replace('_', '-')}", value]
        for name, value in self.metadata.items():
            words += ["--metadata", f"{name}={value}"]
        if self.duplicate_policy != "return-existing":
            words += ["--duplicate-policy", self.duplicate_policy]
        return words


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option("--recursive", "-r", is_flag=True, help="Also what is in folders; keys are the paths in there.")
@click.option("--concurrency", "-j", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at once.")
@click.option("--key", help="Your own key for the document, unique among your documents.")
@click.option("--key-prefix", metavar="TEXT", help="A key for each file: this and its name, or its path in a folder.")
@click.option("--no-keys", is_flag=True, help="With --recursive: no keys.")
@click.option("--metadata", "-m", multiple=True, callback=_labels, metavar="NAME=VALUE", help="A label; repeatable.")
@click.option("--content-type", help="Media type.  [default: by the file's name]")
@click.option("--filename", help="Name of the document.  [default: the file's]")
@click.option(
    "--duplicate-policy", type=click.Choice(list(_POLICIES)), default="return-existing", show_default=True,
    help="When you have these bytes already.",
)  # fmt: skip
@click.option("--sha256", metavar="HEX", help="The document's digest, so that a duplicate need not be sent.")
@click.option("--check-first", is_flag=True, help="Read each file twice: of what you have already, send nothing.")
@click.option("--request-id", help="Makes the upload exactly-once; the same id goes on with what was begun.")
@common_options
@pass_session
def upload(
    session: Session,
    /,
    files: Sequence[str],
    recursive: bool,
    concurrency: int,
    key_prefix: str | None,
    no_keys: bool,
    check_first: bool,
    request_id: str | None,
    **options: Any,
) -> None:
    """Store FILES (`-` for stdin) and print their document ids.

    An id is printed when its document is durable; of several files with the file's path behind it, in the
    order in which they are done. After an interruption the printed command goes on with what is durable
    already.

    With --recursive a file of a folder has a key: its path from the folder's own name on. `upload -r
    reports` stores reports/2026/a.pdf under the key reports/2026/a.pdf, and does so once, however often it
    runs. Other bytes under a key that is taken are refused.
    """
    wanted = Wanted(**options)
    _check(files, recursive, key_prefix, no_keys, check_first, wanted)
    base = request_id or str(uuid.uuid4())
    plan = make_plan(files, recursive=recursive, key_prefix=key_prefix, keys=not no_keys, request_id=base)
    words = ["upload", *files, "--request-id", base, *wanted.words()]
    words += ["--recursive"] if recursive else []
    words += ["--key-prefix", key_prefix] if key_prefix else []
    words += ["--no-keys"] if no_keys else []
    words += ["--check-first"] if check_first else []
    hint = f"To go on where this ended: {command_line(session, words)}"
    _run(session, plan, wanted, Uploading(session, hint, concurrency, check_first))


def _check(
    files: Sequence[str], recursive: bool, key_prefix: str | None, no_keys: bool, check_first: bool, wanted: Wanted
) -> None:
    """Refuse what cannot be meant."""
    single = {f"--{name}": getattr(wanted, name) for name in ("key", "filename", "sha256")}
    given = [name for name, value in single.items() if value]
    if given and len(files) > 1:
        raise click.UsageError(f"{', '.join(given)} can be given with one file only")
    if given and recursive:
        raise click.UsageError(f"{', '.join(given)} cannot be given with --recursive")
    if wanted.key and key_prefix:
        raise click.UsageError("give --key or --key-prefix")
    if no_keys and (key_prefix or not recursive):
        raise click.UsageError("--no-keys goes with --recursive, and without --key-prefix")
    if STDIN in files:
        if len(files) > 1 or recursive:
            raise click.UsageError("`-` has to be the only file")
        if not wanted.filename:
            raise click.UsageError("--filename is needed for what comes from stdin")
        if check_first:
            raise click.UsageError("--check-first reads a file twice, which stdin does not allow")


def _run(session: Session, plan: Plan, wanted: Wanted, uploading: Uploading) -> None:
    for note in plan.notes:
        session.report.note(f"ledgerlift: {safe(note)}")
    for failure in plan.failures:
        session.report.failure(failure)
    items = [wanted.item(item) for item in plan.items]
    paths = [item.path for item in plan.items]
    if len(items) == 1:
        uploading.one(items[0], paths[0])
    elif items:
        uploading.several(items, paths)


COMMANDS = (upload,)
