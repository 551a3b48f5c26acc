"""Something in a server blocks its event loop. Each server has a thread and a loop of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
from ledgerlift_server.domain.steps import Step

from tests.support.alert_faults.ground import QUICK, GoWrong, Ground
from tests.support.prometheus import Prometheus
from tests.support.raw_calls import begin
from tests.support.server_thread import server_in_thread

LATE = 1.0
"""Seconds that each upload takes of the loop."""


@asynccontextmanager
async def loop_that_is_late(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """A step of an upload takes a second, every time."""
    async with _held_up(ground, "late", metrics, lambda: time.sleep(LATE)) as (wrong, channel):

        async def go_wrong(_: Prometheus) -> None:
            wrong.set()
            while True:
                await begin(channel)

        yield go_wrong


@asynccontextmanager
async def loop_that_hangs(ground: Ground, metrics: Sequence[str]) -> AsyncIterator[GoWrong]:
    """A step of an upload never comes back."""
    over = threading.Event()
    async with _held_up(ground, "hangs", metrics, over.wait) as (wrong, channel):

        async def go_wrong(_: Prometheus) -> None:
            wrong.set()
            while True:
                with suppress(grpc.aio.AioRpcError):  # its deadline passes, and the loop hangs as before
                    await begin(channel)

        try:
            yield go_wrong
        finally:
            over.set()


@asynccontextmanager
async def _held_up(
    ground: Ground, name: str, metrics: Sequence[str], hold: Callable[[], object]
) -> AsyncIterator[tuple[threading.Event, grpc.aio.Channel]]:
    """A server whose loop is held at a step of each upload once the event is set, and a channel to it."""
    wrong = threading.Event()

    def at(step: str) -> None:
        if step == Step.SESSION_OPENED and wrong.is_set():
            hold()

    (address,) = metrics
    with server_in_thread(ground.folder / name, metrics_address=address, checkpoint=at, **QUICK) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield wrong, channel
