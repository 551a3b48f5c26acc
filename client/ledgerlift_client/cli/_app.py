"""The command itself: its global options, its subcommands, and the one place where failures end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

import click
from click.core import ParameterSource

from ledgerlift_client._channel import DEFAULT_TARGET
from ledgerlift_client._tls import TlsFiles, variable
from ledgerlift_client.cli import (
    _completion,
    _documents,
    _download,
    _events,
    _operations,
    _upload,
    _uploads,
    exit_codes,
)
from ledgerlift_client.cli._report import RetryNotes
from ledgerlift_client.cli._session import Session, common_options

_MODULES = (_upload, _download, _documents, _events, _uploads, _operations, _completion)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 defect, 2 usage, 3 not found, 4 conflict, 5 refused, 6 corrupt, 7 try later, "
    "8 not allowed, 9 local file, 10 not installed, 11 unhealthy, 130 interrupted.",
)
@click.option(
    "--target", envvar="LEDGERLIFT_TARGET", default=DEFAULT_TARGET, show_default=True, show_envvar=True,
    metavar="HOST:PORT", help="The server.",
)  # fmt: skip
@click.option(
    "--tls", is_flag=True, default=None, envvar="LEDGERLIFT_TLS", show_envvar=True,
    help="Encrypt, and trust what this system trusts. Implied by each of the files below.",
)  # fmt: skip
@click.option(
    "--ca", envvar="LEDGERLIFT_CA", show_envvar=True, type=click.Path(), metavar="FILE",
    help="Trust the certificate authorities in this PEM file in place of the system's.",
)  # fmt: skip
@click.option(
    "--cert", envvar="LEDGERLIFT_CERT", show_envvar=True, type=click.Path(), metavar="FILE",
    help="Your certificate (PEM), for a server that asks for one; together with --key.",
)  # fmt: skip
@click.option(
    "--key", envvar="LEDGERLIFT_KEY", show_envvar=True, type=click.Path(), metavar="FILE",
    help="The private key of --cert (PEM, without a password). Not the --key of `upload`, which stands behind it.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="For each operation with all its attempts.  [default: 30; uploads and downloads as long as they move]",
)  # fmt: skip
@common_options
@click.version_option(package_name="ledgerlift")
@click.pass_context
def cli(
    context: click.Context,
    target: str,
    tls: bool | None,
    ca: str | None,
    cert: str | None,
    key: str | None,
    timeout: float | None,
) -> None:
    """Store, fetch and look after documents.

    A document is stored whole and verified, or not at all. What breaks is tried again; what is interrupted
    can be gone on with.
    """
    session = context.ensure_object(Session)
    session.target, session.timeout = target, timeout
    session.tls = TlsFiles(tls, ca, cert, key)
    session.called = partial(_called, context)
    context.call_on_close(session.close)


def _called(context: click.Context, name: str) -> str:
    from_environment = context.get_parameter_source(name) is ParameterSource.ENVIRONMENT
    return variable(name) if from_environment else f"--{name}"


for _module in _MODULES:
    for _command in _module.COMMANDS:
        cli.add_command(_command)
        if _module is _completion:  # asks no server
            continue
        for _told in (_command, *getattr(_command, "commands", {}).values()):
            _told.epilog = "--target, --tls and --timeout stand before the command: see `ledgerlift --help`."


def run(arguments: Sequence[str] | None) -> int:
    """Run the command line; answers the exit code and never raises."""
    session = Session()
    notes = RetryNotes(session.report)
    log = logging.getLogger("ledgerlift_client")
    log.addHandler(notes)
    log.propagate = False
    # What stops a container is to leave the same words behind as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(session, arguments)
    finally:
        log.removeHandler(notes)


def _run(session: Session, arguments: Sequence[str] | None) -> int:
    report = session.report
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="ledgerlift",
            standalone_mode=False,
            obj=session,
        )
        return code if isinstance(code, int) else report.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exit_codes.USAGE
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            error = _placed(error)
        if report.as_json or "--json" in (sys.argv[1:] if arguments is None else arguments):
            report.as_json = True
            report.failure(error)
        else:
            error.show()
        return error.exit_code
    except click.Abort:
        report.failure(KeyboardInterrupt())
        return report.exit_code
    except SystemExit as ended:
        if _completion.VARIABLE in os.environ:  # the shell was answered
            return int(ended.code or 0)
        # Click's answer to EPIPE: whoever read stdout has left (`| head`). Nothing more can be said there, not even
        # on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK
    except Exception as error:
        report.failure(error)
        return report.exit_code


def _placed(error: click.NoSuchOption) -> click.UsageError:
    """For an option of the whole command that stands behind a subcommand: where it belongs."""
    option, context = error.option_name, error.ctx
    if context is None or not any(option in one.opts for one in cli.params if one.name not in ("json", "quiet")):
        return error
    subcommand = context.command_path.partition(" ")[2]
    return click.UsageError(f"{option} stands before the command: ledgerlift {option} ... {subcommand}", context)
