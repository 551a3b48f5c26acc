"""A whole server in a thread with a loop of its own, for tests of what is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ledgerlift_server.running_server import RunningServer

from tests.support.server import START_TIMEOUT, STOP_TIMEOUT, in_process_server


@contextmanager
def server_in_thread(folder: Path, **changes: Any) -> Iterator[RunningServer]:
    """A server that runs while the block does; `changes` by the name of the setting."""
    started, stop = threading.Event(), asyncio.Event()
    found: list[RunningServer | BaseException] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        try:
            async with in_process_server(folder, **changes) as server:
                found.append(server)
                started.set()
                await stop.wait()
        except BaseException as error:
            found.append(error)
            started.set()
            raise

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(START_TIMEOUT), "the server did not start"
    server = found[0]
    if isinstance(server, BaseException):
        raise server
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_TIMEOUT)
        assert not thread.is_alive(), "the server did not stop"
