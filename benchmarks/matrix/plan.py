"""How much is measured: the choices of the command line, and the time that there is."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Plan:
    """`cell` are the seconds of one number; `ends` when no more are begun."""

    place: Path
    sizes: tuple[int, ...]
    clients: tuple[int, ...]
    rounds: int
    cell: float
    most: int
    """Bytes that one number may move at the least, size times clients: larger combinations are left out."""
    parts: tuple[int, ...]
    ends: float
    left_out: list[str] = field(default_factory=list)
    _folders: int = 0

    def folder(self, name: str) -> Path:
        """A new one."""
        self._folders += 1
        made = self.place / f"{self._folders:03}-{name}"
        made.mkdir()
        return made

    def over(self, what: str) -> bool:
        """Whether the time is up; then `what` is told to be missing."""
        if time.monotonic() < self.ends:
            return False
        self.left_out.append(f"{what}: the time was up")
        return True


def say(line: str) -> None:
    """How far it is."""
    print(line, file=sys.stderr, flush=True)
