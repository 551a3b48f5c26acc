"""The event loop under a test's control: its clock, its turns, and what it reports."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

from ledgerlift_server.resilience.deadline import Deadline


class LoopClock:
    """The running loop's clock, which a test can put forward. Otherwise it goes as ever."""

    def __init__(self) -> None:
        """Takes over the clock of the running loop, for the loop's lifetime."""
        self._loop = asyncio.get_running_loop()
        self._real = self._loop.time
        self._ahead = 0.0
        self._loop.time = self  # type: ignore[method-assign]  # the loop reads its clock nowhere else

    def __call__(self) -> float:
        """Monotonic seconds."""
        return self._real() + self._ahead

    async def advance(self, seconds: float) -> None:
        """Put the clock forward, and let everything run that was waiting for it."""
        self.put_forward(seconds)
        await turns()

    def stand_still(self) -> None:
        """From now on only the test moves it: what is to wait for its turn does so on a slow machine as well."""
        now = self._real()
        self._real = lambda: now

    def put_forward(self, seconds: float) -> None:
        """The same, and nothing runs because of it: for a thread whose work takes so long."""
        self._ahead += seconds

    def deadline(self, seconds: float) -> Deadline:
        """The deadline `seconds` from now on this clock."""
        return Deadline.after(seconds, clock=self)


async def turns(count: int = 10) -> None:
    """Let the loop turn: what is ready to run has run then, threads excepted."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until `holds`, threads included. The test's own timeout bounds it."""
    while not holds():  # noqa: ASYNC110 - what is waited for happens on threads that set no event
        await asyncio.sleep(0.001)


def reports_of(scenario: Callable[[], Coroutine[Any, Any, None]]) -> list[dict[str, Any]]:
    """What a loop of its own reports of `scenario`: exceptions that nobody looked at, tasks that were lost."""
    reports: list[dict[str, Any]] = []
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: reports.append(context))
        runner.run(scenario())
    gc.collect()  # they are reported when their future goes
    return reports
