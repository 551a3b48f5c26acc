"""A wall clock that can be moved under a running process; what measures durations stays. Takes a C compiler."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
NANOSECONDS = 1_000_000_000


class NoFakeClock(Exception):
    """Not here: the message says why."""


def build(folder: Path) -> Path:
    """The library that all fake clocks share. Raises NoFakeClock."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoFakeClock("there is no C compiler (cc)")
    library = folder / "fake_clock.so"
    done = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoFakeClock(done.stderr.strip())
    return library


@dataclass(frozen=True, slots=True)
class FakeClock:
    """The clock of all processes that are started with `environment`."""

    library: Path
    file: Path

    @classmethod
    def made(cls, library: Path, file: Path) -> FakeClock:
        """A clock that is right. Both are to be readable by whoever goes by it."""
        clock = cls(library, file)
        file.write_bytes(bytes(8))
        file.chmod(0o644)
        return clock

    @property
    def environment(self) -> Mapping[str, str]:
        """For a process that is to go by it."""
        return {"LD_PRELOAD": str(self.library), "FAKE_CLOCK": str(self.file)}

    def set(self, seconds: float) -> None:
        """Let it be wrong by so much, from now on; 0: right again."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", int(seconds * NANOSECONDS)))
