"""The `ledgerlift` command. Its packages (click, rich) come with the extra `ledgerlift[cli]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec

from ledgerlift_client.cli import exit_codes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and answer its exit code. Without `arguments` the process ends here."""
    if arguments is not None:
        return _main(arguments)
    code = _main(None)
    # Whatever a library does on the interpreter's way out (grpc's threads once kept a finished command for a minute),
    # the command is over: everything is written, and everything that must be durable is.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it has left, or it was closed
            stream.flush()
    os._exit(code)


def _main(arguments: Sequence[str] | None) -> int:
    for package in ("click", "rich"):  # looked for, not imported: most commands need no rich, which takes its time
        if find_spec(package) is None:
            sys.stderr.write(
                f"ledgerlift: the command line needs the package `{package}`, which is not installed; "
                "install it with: pip install 'ledgerlift[cli]'\n"
            )
            return exit_codes.NOT_INSTALLED
    try:
        from ledgerlift_client.cli._app import run

        return run(arguments)
    except KeyboardInterrupt:  # `run` tells of its own; this one came while its modules were read
        sys.stderr.write("ledgerlift: interrupted\n")
        return exit_codes.INTERRUPTED
