"""Runs the repository's own commands the way a person would, in the environment that the tests run in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def environment(**extra: str) -> dict[str, str]:
    """This environment, with `.venv`-like commands of the running Python first on the PATH and nothing to install."""
    folder = Path(sys.executable).parent
    return {
        **os.environ,
        "LEDGERLIFT_VENV": str(folder.parent),
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        **extra,
    }


def run(program: Path | str, *arguments: str, timeout: float = 60, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, at most `timeout` seconds, and answer what it printed."""
    return subprocess.run(
        [str(program), *arguments],
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
