"""A new engineer's way by README: start a server, upload a first document, find the request in the log by its id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.deployed import free_port
from tests.repo.readme import Block, blocks, copied_checkout
from tests.support.programs import environment
from tests.support.tools import ROOT

HERE = "tests/integration/test_first_steps.py"
START_TIMEOUT = 120.0
"""Seconds; a busy machine takes its time."""


@pytest.fixture
def steps() -> list[Block]:
    """What the page gives to the two terminals."""
    return [block for block in blocks((ROOT / "README.md").read_text()) if block.by == HERE]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Where both of them are."""
    return copied_checkout(tmp_path / "checkout")


@pytest.fixture
def told() -> dict[str, str]:
    """The environment of both: the test's packages, and a port that nobody else uses."""
    address = f"127.0.0.1:{free_port()}"
    return environment(GRPC_ADDRESS=address, LEDGERLIFT_TARGET=address)


@pytest.fixture
def first_terminal(steps: list[Block], checkout: Path, told: dict[str, str]) -> Iterator[Path]:
    """The server runs as the page says, until Ctrl-C; what it logs is in the file."""
    command = ["bash", "-euo", "pipefail", "-c", steps[0].text]
    log = checkout / "serve.log"
    with subprocess.Popen(
        command, cwd=checkout, env=told, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
    ) as terminal:
        try:
            give_up_at = time.monotonic() + START_TIMEOUT
            while " serving " not in (log.read_text() if log.exists() else ""):
                assert terminal.poll() is None, log.read_text()
                assert time.monotonic() < give_up_at, log.read_text()
                time.sleep(0.1)  # nobody else says that it serves
            yield log
        finally:
            pid = re.search(r"pid=(\d+)", log.read_text() if log.exists() else "")
            if pid is None:
                os.killpg(terminal.pid, signal.SIGKILL)
            else:
                os.kill(int(pid[1]), signal.SIGINT)


def test_the_first_upload_is_found_in_the_log(
    steps: list[Block], checkout: Path, told: dict[str, str], first_terminal: Path
) -> None:
    """The page's commands, pasted into two terminals; the last of them shows the call."""
    assert len(steps) == 2
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", steps[1].text],
        cwd=checkout,
        env=told,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    document_id, *shown, line = done.stdout.splitlines()
    assert re.fullmatch(r"[0-9a-f-]{36}", document_id)
    assert document_id in "\n".join(shown)
    assert "energy-report.pdf" in "\n".join(shown)
    for part in ("call_ended", "UploadService/Upload", "code=OK", "duration_ms=", "request_id=first-upload"):
        assert part in line
