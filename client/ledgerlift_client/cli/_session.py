"""What all subcommands share: the client, the report, and the options that stand on each of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import click
import grpc

from ledgerlift_client import ClientOptions, LedgerLiftClient
from ledgerlift_client._channel import DEFAULT_TARGET
from ledgerlift_client._tls import TlsFiles, credentials_from, variable
from ledgerlift_client.cli import exit_codes
from ledgerlift_client.cli._report import Report


@dataclass
class Session:
    """One run of the command. The client is made when it is first needed.

    `called`: the option or the variable that gave a field of `tls`.
    """

    target: str = DEFAULT_TARGET
    tls: TlsFiles = TlsFiles()
    called: Callable[[str], str] = variable
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
                credentials = _credentials(self.tls, self.called)
                self._client = LedgerLiftClient(self.target, options=options, credentials=credentials)
                self.report.encrypted = credentials is not None
            except ValueError as error:
                raise click.UsageError(str(error)) from error
        return self._client

    def close(self) -> None:
        """Close the client, if there is one."""
        if self._client is not None:
            self._client.close()


class UnusableFiles(click.ClickException):
    """Files for TLS that cannot be used: wrong usage, told in one line, for the command's own usage is no help."""

    exit_code = exit_codes.USAGE


def _credentials(files: TlsFiles, called: Callable[[str], str]) -> grpc.ChannelCredentials | None:
    try:
        return credentials_from(files, called)
    except ValueError as error:
        raise UnusableFiles(str(error)) from error


pass_session = click.make_pass_decorator(Session)


def _set_json(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).report.as_json = True


def _set_quiet(context: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).report.quiet = True


def common_options(command: Any) -> Any:
    """`--json` and `--quiet`, before a subcommand's name as well as behind it."""
    for decorate in (
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set_quiet,
            help="No progress bar and no notes on stderr, only failures.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="Results on stdout, failures on stderr, as one JSON object a line.",
        ),
    ):
        command = decorate(command)
    return command
