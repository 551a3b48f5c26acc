"""The scripts are what a newcomer meets first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tools import ROOT

COMMANDS = sorted(
    path for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci/run"] if path.is_file() and not path.suffix
)


def _names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("command", COMMANDS, ids=_names(COMMANDS))
def test_it_can_be_started(command: Path) -> None:
    """Every command is executable, names its interpreter, parses, and begins by saying what it does."""
    first, second, *_ = command.read_text().splitlines()
    assert os.access(command, os.X_OK)
    assert first == "#!/usr/bin/env bash"
    assert second.startswith("# ")
    subprocess.run(["bash", "-n", command], check=True)


def _fake_python(folder: Path, name: str, says: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)


def _find_python(path: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'. "{ROOT}/scripts/_lib.sh"; find_python'],
        env={"PATH": path, **extra},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A PATH with the programs that the scripts use, and no Python yet."""
    for name in ("bash", "dirname", "mkdir"):
        found = next(Path(part, name) for part in os.defpath.split(":") if Path(part, name).exists())
        (tmp_path / name).symlink_to(found)
    return tmp_path


def test_a_newer_python_is_found_beside_an_old_one(bin_folder: Path) -> None:
    """Where `python3` is too old, and a version manager's 3.13 does not start, a 3.12 that works is taken."""
    _fake_python(bin_folder, "python3", "exit 1")
    _fake_python(bin_folder, "python3.13", "echo 'no such version' >&2; exit 127")
    _fake_python(bin_folder, "python3.12", "exit 0")
    assert _find_python(str(bin_folder)).stdout == "python3.12\n"


def test_a_machine_without_a_python_is_told_what_to_do(bin_folder: Path) -> None:
    """Without a Python of 3.11 or newer the message says which one, and how to get or name it."""
    _fake_python(bin_folder, "python3", "exit 1")
    result = _find_python(str(bin_folder))
    assert result.returncode == 1
    assert "Python 3.11 or newer" in result.stderr
    assert "set PYTHON" in result.stderr


def test_a_python_that_was_named_and_does_not_do_is_refused(bin_folder: Path) -> None:
    """A wrong PYTHON is named in the message; no other one is taken in its place."""
    _fake_python(bin_folder, "python3", "exit 0")
    result = _find_python(str(bin_folder), PYTHON="python2")
    assert result.returncode == 1
    assert "PYTHON=python2" in result.stderr


@pytest.mark.parametrize("workers", ["0", "1"])
def test_what_was_not_tested_is_said_at_the_end(tmp_path: Path, workers: str) -> None:
    """Skipped tests are counted by their reason, in one process and in several."""
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('n', range(3))\n"
        "def test_one(n): pytest.skip('that program is not installed')\n"
        "def test_two(): pass\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.support.skipped",
            "-n",
            workers,
            "--rootdir",
            tmp_path,
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " 3 tests were skipped " in done.stdout
    assert "\n    3  that program is not installed\n" in done.stdout
