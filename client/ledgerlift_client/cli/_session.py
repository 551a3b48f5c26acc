"""What all subcommands share: the client, the report, and the options that stand on each of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any

import click

from ledgerlift_client import ClientOptions, LedgerLiftClient
from ledgerlift_client._channel import DEFAULT_TARGET
from ledgerlift_client.cli._report import Report


@dataclass
class Session:
    """One run of the command. The client is made when it is first needed."""

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
