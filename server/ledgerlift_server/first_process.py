"""The first process of a container can be told to end, whatever it is doing.

Linux delivers to process 1 of a PID namespace only signals that it handles (pid_namespaces(7)). Until `serve` does,
and during all of `migrate` and `janitor`, SIGTERM would be lost, and whoever stops the container would wait for its
whole grace period and then kill.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

FIRST = 1
"""The pid that is treated so."""


def heed_sigterm() -> None:
    """Let SIGTERM end this process as it ends any other, if it is the first one."""
    if os.getpid() == FIRST:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, _where: FrameType | None) -> NoReturn:
    os._exit(128 + number)
