"""`completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ledgerlift_client.cli._session import Session, common_options, pass_session

PROGRAM = "ledgerlift"
VARIABLE = "_LEDGERLIFT_COMPLETE"
"""Set by the shell's script when it asks this program what could come next; click's rule for its name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common_options
@click.pass_context
@pass_session
def completion(session: Session, context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    \b
    bash  eval "$(ledgerlift completion bash)"             in ~/.bashrc
    zsh   eval "$(ledgerlift completion zsh)"              in ~/.zshrc, behind compinit
    fish  ledgerlift completion fish | source              in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, shell  # noqa: S101 - these three are click's own
    script = kind(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    session.report.result({"shell": shell, "script": script}, script)


COMMANDS = (completion,)
