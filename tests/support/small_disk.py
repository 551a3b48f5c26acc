"""A file system of few MiB that a test may fill or make read-only. Takes root, for it is mounted (tmpfs)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 10.0
"""Seconds in which a disk is to become read-only; it cannot while a file on it is open for writing."""


class CannotMount(Exception):
    """Not here: the message says why."""


class SmallDisk:
    """`root` is where it is mounted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._filler = root / "filler"

    @classmethod
    @contextmanager
    def mounted(cls, root: Path, size: int) -> Iterator[SmallDisk]:
        """`size` in bytes. Unmounted behind the block, whoever still uses it. Raises CannotMount."""
        if os.geteuid() != 0:
            raise CannotMount("only root mounts a small disk")
        root.mkdir(parents=True, exist_ok=True)
        done = _mount("-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(root))
        if done.returncode != 0:
            raise CannotMount(done.stderr.strip())
        try:
            yield cls(root)
        finally:
            subprocess.run(["umount", "--lazy", str(root)], check=False, capture_output=True)

    def fill(self) -> None:
        """Leave no room for another byte."""
        filler = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (1 << 20, 1 << 12):
                with suppress(OSError):  # ENOSPC
                    while os.write(filler, bytes(size)):
                        pass
        finally:
            os.close(filler)

    def empty(self) -> None:
        """Take back what `fill` took."""
        self._filler.unlink(missing_ok=True)

    def read_only(self, yes: bool) -> None:
        """Refuse writes (EROFS), or take them again."""
        give_up_at = time.monotonic() + PATIENCE
        while (done := _mount("-o", "remount,ro" if yes else "remount,rw", str(self.root))).returncode != 0:
            assert time.monotonic() < give_up_at, done.stderr
            time.sleep(0.01)


def _mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
