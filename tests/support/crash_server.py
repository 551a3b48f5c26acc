"""`python -m tests.support.crash_server STEP`: the server, which is killed as it reaches a step of `domain/steps.py`.

Killed, not stopped: no `finally` runs and nothing is flushed, as when the power goes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from ledgerlift_server.observability import logs
from ledgerlift_server.serve import serve
from ledgerlift_server.settings import load


def main() -> None:
    """Serve until the step is reached."""
    fatal = sys.argv[1]

    def checkpoint(step: str) -> None:
        if step == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, checkpoint=checkpoint))


if __name__ == "__main__":
    main()
