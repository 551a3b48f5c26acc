"""Serve until a signal says stop: once to drain, twice to leave at once."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ledgerlift_server import __version__
from ledgerlift_server.app import serving
from ledgerlift_server.domain.steps import Checkpoint, no_checkpoint
from ledgerlift_server.running_server import RunningServer
from ledgerlift_server.settings import Settings

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What says stop. SIGHUP too: a terminal that closes, and whoever hopes that it reads its settings again, would end
the process on the spot. Certificates are read again by themselves; other settings take a restart."""


async def serve(settings: Settings, *, checkpoint: Checkpoint = no_checkpoint) -> None:
    """Returns when the server has stopped because it was told to. Raises CannotStart, or what else ended it."""
    main = asyncio.current_task()
    assert main is not None
    stop = asyncio.Event()
    started = False

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            # Nothing is lost: what was acknowledged is durable, and the rest is what a crash would leave.
            logger.warning("stopped_at_once", extra={"signal": number.name})
            os._exit(128 + number)
        stop.set()
        if not started:
            main.cancel()

    with _signals(on_signal):
        try:
            async with serving(settings, checkpoint=checkpoint) as server:
                started = True
                logger.info("serving", extra=_facts(settings, server))
                await _until_told(stop, server)
                await server.drained(settings.shutdown_delay, settings.shutdown_grace)
            logger.info("stopped")
        except asyncio.CancelledError:
            if started or not stop.is_set():
                raise
            main.uncancel()
            logger.info("stopped", extra={"while": "starting"})


async def _until_told(stop: asyncio.Event, server: RunningServer) -> None:
    told, ended = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(server.wait())
    try:
        await asyncio.wait({told, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            ended.result()
            raise RuntimeError("the server ended by itself")
    finally:
        told.cancel()
        ended.cancel()


def _facts(settings: Settings, server: RunningServer) -> dict[str, object]:
    return {
        "address": server.address,
        "version": __version__,
        "environment": settings.environment,
        "database": "sqlite" if settings.embedded_database else "postgresql",
        "storage": "filesystem" if settings.s3_bucket is None else "s3",
        "pid": os.getpid(),
    }


@contextmanager
def _signals(handle: Callable[[signal.Signals], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    # Under nohup a closing terminal is to be ignored.
    kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heeded = [number for number in SIGNALS if not (kept and number is signal.SIGHUP)]
    for number in heeded:
        loop.add_signal_handler(number, handle, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
