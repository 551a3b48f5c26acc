"""The `ledgerlift` command for tests: run to its end, begun, or on a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pexpect
from ledgerlift_client import LedgerLiftClient, UploadState

from tests.support.programs import environment

KIB = 1024
PART = 64 * KIB
SEGMENT = 4 * PART
SERVER = {"upload_part_size": PART, "upload_segment_size": SEGMENT, "max_file_size": 1000 * PART}
"""Settings of a server for which a file of some hundred KiB is a large one."""
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
PATIENCE = 60.0
"""Seconds for what a busy machine does in one."""


class Cli:
    """The command, for one server, in one folder."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        self.environment = environment(
            LEDGERLIFT_TARGET=address, LEDGERLIFT_SEGMENT_SIZE=str(SEGMENT), LEDGERLIFT_MESSAGE_SIZE=str(16 * KIB)
        )
        for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
            self.environment.pop(name, None)

    def __call__(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        return subprocess.run(
            ["ledgerlift", *arguments],
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )

    def lines(self, *arguments: str, stdin: bytes = b"") -> list[str]:
        """What it prints when it goes well."""
        done = self(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().splitlines()

    def objects(self, *arguments: str, stdin: bytes = b"") -> list[dict[str, Any]]:
        """The JSON objects that it prints."""
        return [json.loads(line) for line in self.lines("--json", *arguments, stdin=stdin)]

    def start(self, *arguments: str, **pipes: Any) -> subprocess.Popen[bytes]:
        """Begin to run it."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | pipes
        return subprocess.Popen(["ledgerlift", *arguments], env=self.environment, cwd=self.folder, **pipes)

    def file(self, name: str, data: bytes | None = None) -> bytes:
        """A file in the folder, and its bytes."""
        content = os.urandom(64).hex().encode() if data is None else data
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)
        return content

    def on_terminal(self, *arguments: str, columns: int = 200) -> pexpect.spawn[str]:
        """Begin to run it on a terminal of so many columns: what it reads and writes is that terminal's."""
        return pexpect.spawn(
            "ledgerlift",
            list(arguments),
            env={**self.environment, "TERM": "xterm-256color"},
            cwd=str(self.folder),
            dimensions=(50, columns),
            encoding="utf-8",
            codec_errors="replace",  # Ctrl-C makes a terminal drop what it was about to show, in the middle of it
            timeout=PATIENCE,
        )

    def seen(self, *arguments: str, columns: int = 200, code: int = 0) -> str:
        """What a terminal saw when it ran to its end there, with that exit code; colours and all."""
        terminal = self.on_terminal(*arguments, columns=columns)
        text = str(terminal.read())
        terminal.close()
        assert terminal.exitstatus == code, text
        return text

    def until_durable(self, size: int, filename: str | None = None) -> str:
        """Return once an upload (of that name) has made `size` bytes durable: its id."""
        with LedgerLiftClient(self.environment["LEDGERLIFT_TARGET"]) as client:
            waiting = threading.Event()
            for _ in range(600):
                for upload in client.list_uploads(state=UploadState.ACTIVE):
                    if upload.persisted_size >= size and filename in (None, upload.spec.filename):
                        return upload.upload_id
                waiting.wait(0.05)
        raise AssertionError("nothing became durable")


def plain(text: str) -> str:
    """What a terminal saw, without colours and movements."""
    return ESCAPE.sub("", text)
