"""The `ledgerlift` command. Its packages (click, rich) come with the extra `ledgerlift[cli]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ledgerlift_client.cli import exit_codes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and answer its exit code. `arguments` default to those of the process."""
    try:
        import click  # noqa: F401 - asked for here, so that its absence can be told in a sentence
        import rich  # noqa: F401 - likewise
    except ImportError as error:
        sys.stderr.write(
            f"ledgerlift: the command line needs the package `{error.name}`, which is not installed; "
            "install it with: pip install 'ledgerlift[cli]'\n"
        )
        return exit_codes.NOT_INSTALLED
    from ledgerlift_client.cli._app import run

    return run(arguments)
