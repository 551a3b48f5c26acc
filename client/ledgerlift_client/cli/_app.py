"""The command itself: its global options, its subcommands, and the one place where failures end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click

from ledgerlift_client import ClientOptions, LedgerLiftClient
from ledgerlift_client._channel import DEFAULT_TARGET
from ledgerlift_client.cli import exit_codes
from ledgerlift_client.cli._report import Report, RetryNotes


@dataclass
class Session:
    """What all subcommands share. The client is made when one first needs it."""

    target: str = DEFAULT_TARGET
    timeout: float | None = None
    report: Report = field(default_factory=Report)
    _client: LedgerLiftClient | None = None

    @property
    def client(self) -> LedgerLiftClient:
        """The client; a wrong target or environment is a usage error."""
        if self._client is None:
            try:
                options = ClientOptions.from_env(os.environ)
                if self.timeout is not None:
                    options = replace(options, call_timeout=self.timeout, transfer_timeout=self.timeout)
                self._client = LedgerLiftClient(self.target, options=options)
            except ValueError as error:
                raise click.UsageError(str(error)) from error
        return self._client

    def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            self._client.close()


pass_session = click.make_pass_decorator(Session)


def _set_json(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).report.as_json = True


def json_option(command: Any) -> Any:
    """`--json`, before a subcommand's name as well as behind it."""
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_set_json,
        help="Results on stdout, failures on stderr, as one JSON object a line.",
    )(command)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 defect, 2 usage, 3 not found, 4 conflict, 5 refused, 6 corrupt, 7 try later, "
    "8 not allowed, 9 local file, 130 interrupted.",
)
@click.option(
    "--target", envvar="LEDGERLIFT_TARGET", default=DEFAULT_TARGET, show_default=True, show_envvar=True,
    metavar="HOST:PORT", help="The server.",
)  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For each operation.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar and no notes on stderr, only failures.")
@json_option
@click.version_option(package_name="ledgerlift")
@click.pass_context
def cli(context: click.Context, target: str, timeout: float | None, quiet: bool) -> None:
    """Store, fetch and look after documents.

    A document is stored whole and verified, or not at all. What breaks is tried again; what is interrupted
    can be gone on with.
    """
    session = context.ensure_object(Session)
    session.target, session.timeout, session.report.quiet = target, timeout, quiet
    context.call_on_close(session.close)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command line; answers the exit code and never raises."""
    from ledgerlift_client.cli import _documents, _transfers

    for command in (*_transfers.COMMANDS, *_documents.COMMANDS):
        cli.add_command(command)
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
        error.show()
        return error.exit_code
    except click.Abort:
        report.failure(KeyboardInterrupt())
        return report.exit_code
    except SystemExit:
        # Click's answer to EPIPE: whoever read stdout has left (`| head`). Nothing more can be said there, not even
        # on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK
    except Exception as error:
        report.failure(error)
        return report.exit_code
