"""Upload calls of an `UploadRig` while they run, and what can be held up in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ledgerlift_server.domain.models import Caller
from ledgerlift_server.domain.offload_port import Offload
from ledgerlift_server.domain.upload_models import UploadSession
from ledgerlift_server.domain.upload_stream import Committed, Stopped, StopReason

from tests.support.domain_objects import spec
from tests.support.upload_rig import Gate, Replica, Script, stream

T = TypeVar("T")

Running = asyncio.Task[Committed | Stopped]


def begin(replica: Replica, source: Script, by: Caller | None = None) -> Running:
    """The call, running."""
    return asyncio.create_task(replica.run(source=source, by=by))


async def committed(running: Awaitable[object]) -> Committed:
    """The outcome of a call, which has to be a document."""
    outcome = await running
    assert isinstance(outcome, Committed)
    return outcome


async def stopped(running: Awaitable[object], reason: StopReason = StopReason.SEGMENT_END) -> Stopped:
    """The outcome of a call, which has to be a durable size."""
    outcome = await running
    assert isinstance(outcome, Stopped)
    assert outcome.reason is reason
    return outcome


async def opened(replica: Replica, data: bytes = b"", **declared: Any) -> UploadSession:
    """A session into which `data` was sent, without an end."""
    outcome = await stopped(replica.run(*stream(data, to=spec(**declared), finish=False)))
    return outcome.session


def part(*numbers: int) -> Callable[..., bool]:
    """Of the calls of `put_part`, those of these parts."""
    return lambda _name, _id, number, *_: number in numbers


class SlowFirstHash:
    """Computes as ever, but for the first part's hash, which waits for the gate."""

    def __init__(self, compute: Offload) -> None:
        self._compute = compute
        self._hashed = 0
        self.gate = Gate()

    async def __call__(self, fn: Callable[..., T], /, *args: object) -> T:
        """See `Offload`."""
        if fn.__name__ == "_absorb":
            self._hashed += 1
            if self._hashed == 1:
                await self.gate()
        return await self._compute(fn, *args)
