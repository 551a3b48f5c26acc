"""The tests of the blocking client, run with the asyncio client as well: one suite, both clients.

A module says `pytestmark = pytest.mark.usefixtures("both_clients")`; each of its tests then runs twice, and the
second time its `LedgerLiftClient` is `OnLoop`. A test of what only the blocking client has is marked
`blocking_client`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Coroutine, Mapping
from concurrent.futures import CancelledError
from typing import Any, Self, cast

import pytest
from ledgerlift_client import AsyncLedgerLiftClient, CancelToken, errors

PATIENCE = 30.0
"""Seconds for what needs only a few turns of a loop, on a busy machine."""


def pytest_configure(config: pytest.Config) -> None:
    """The marker."""
    config.addinivalue_line("markers", "blocking_client: a test of the blocking client alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Once for each client."""
    if "both_clients" in metafunc.fixturenames:
        alone = metafunc.definition.get_closest_marker("blocking_client") is not None
        kinds = ["blocking"] if alone else ["blocking", "asyncio"]
        metafunc.parametrize("both_clients", kinds, indirect=True)


@pytest.fixture
def both_clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which client the test runs with."""
    kind: str = request.param
    if kind == "asyncio":
        monkeypatch.setattr(request.module, "LedgerLiftClient", OnLoop)
    return kind


class OnLoop:
    """AsyncLedgerLiftClient with the face of LedgerLiftClient: its coroutines run on a loop in a thread.

    `cancel=` cancels the task. At the end nothing may be left on the loop.
    """

    def __init__(self, target: str, **named: Any) -> None:
        self._client = AsyncLedgerLiftClient(target, **named)
        self._begin()

    @classmethod
    def from_env(cls, environ: Mapping[str, str], **named: Any) -> Self:
        """See `LedgerLiftClient.from_env`."""
        made = cls.__new__(cls)
        made._client = AsyncLedgerLiftClient.from_env(environ, **named)
        made._begin()
        return made

    def _begin(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._over = False
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client and see that it leaves nothing behind."""
        if self._over:
            return
        self.run(self._client.close())
        left = self.run(_left())
        self._over = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        assert not left, f"tasks that nobody waits for: {left}"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return found if not callable(found) else lambda *given, **named: self._call(found, *given, **named)

    def run(self, work: Coroutine[Any, Any, Any], cancel: CancelToken | None = None) -> Any:
        """What `work` returns or raises."""
        if self._over:
            work.close()
            raise RuntimeError("this client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        if cancel is None:
            return future.result()
        with cancel.calling(future.cancel):
            try:
                return future.result()
            except CancelledError as error:
                raise errors.Cancelled("the task was cancelled") from error

    def _call(self, method: Any, *given: Any, cancel: CancelToken | None = None, **named: Any) -> Any:
        answer = method(*given, **named)
        if inspect.isasyncgen(answer):
            return Awaited(self, cast(Any, answer))
        return self.run(answer, cancel) if inspect.iscoroutine(answer) else answer

    def _turn(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not self._over:
            try:
                self._loop.run_forever()
            except KeyboardInterrupt:  # tests raise it in callbacks; the task has it, and the loop goes on
                continue


class Awaited:
    """An async generator as a plain one."""

    def __init__(self, client: OnLoop, messages: AsyncGenerator[Any, None]) -> None:
        self._client = client
        self._messages = messages

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        try:
            return self._client.run(_next(self._messages))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Leave it."""
        self._client.run(self._messages.aclose())


async def _next(messages: AsyncGenerator[Any, None]) -> Any:
    return await anext(messages)


async def _left() -> list[str]:
    """Tasks that are there for good; grpc ends its own within a few turns of the loop."""
    this = asyncio.current_task()
    try:
        async with asyncio.timeout(PATIENCE):
            while others := asyncio.all_tasks() - {this}:
                await asyncio.wait(others, timeout=0.1)
    except TimeoutError:
        return [repr(task) for task in others]
    return []
