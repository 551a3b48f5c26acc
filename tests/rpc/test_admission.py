"""So many calls at once, and no more: who is refused, with what, and that every slot comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from ledgerlift.v1 import policy_pb2
from ledgerlift_server import errors
from ledgerlift_server.resilience.slots import Slots
from ledgerlift_server.rpc.status import PUSHBACK_TRAILER

from tests.support.chain_setup import Setup, details_of, every_shape, nothing
from tests.support.cut_wire import CutWire
from tests.support.shapes import Script, begin, call

QUERIES = policy_pb2.BULKHEAD_QUERIES
CALLS = 200
"""Ended in each of the ways below, before as many have to fit again."""


class Gate:
    """A method whose calls come in, are counted, and stay until they are let go."""

    def __init__(self, then: Script = nothing) -> None:
        """`then` is how a call ends that was let go."""
        self._then = then
        self._entered = asyncio.Semaphore(0)
        self._left = asyncio.Semaphore(0)
        self.opened = asyncio.Event()

    async def __call__(self, context: Any) -> None:
        """The method."""
        self._entered.release()
        try:
            await self.opened.wait()
            await self._then(context)
        finally:
            self._left.release()

    async def entered(self, count: int) -> None:
        """Return once so many more calls have come in."""
        async with asyncio.timeout(60):
            for _ in range(count):
                await self._entered.acquire()

    async def left(self, count: int) -> None:
        """Return once so many more calls have ended."""
        async with asyncio.timeout(60):
            for _ in range(count):
                await self._left.acquire()


@every_shape
async def test_one_call_too_many_is_told_when_to_come_back(shape: str) -> None:
    """RESOURCE_EXHAUSTED with the bound, RetryInfo and pushback, and its method never runs; a free slot is taken."""
    gate, slots = Gate(), Slots("queries", 2)
    async with Setup(slots={QUERIES: slots}).serving(gate) as channel:
        running = [asyncio.create_task(call(channel, shape)) for _ in range(2)]
        await gate.entered(2)
        refused = await call(channel, shape)
        assert slots.snapshot().in_use == 2
        gate.opened.set()
        answers = [*await asyncio.gather(*running), await call(channel, shape)]
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "queries" in refused.details
    info = details_of(refused.trailers, error_details_pb2.ErrorInfo)
    assert (info.reason, dict(info.metadata)) == ("OVERLOADED", {"bound": "queries", "limit": "2"})
    assert details_of(refused.trailers, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 1500
    assert refused.trailers[PUSHBACK_TRAILER] == "1500"
    assert [answer.code for answer in answers] == [grpc.StatusCode.OK] * 3
    await gate.entered(1)  # of the three that were let in, the last; the refused one is not there
    assert slots.snapshot().in_use == 0
    assert slots.snapshot().refused == 1


async def answer(_context: Any) -> None:
    """Ends well."""


async def refuse(_context: Any) -> None:
    """Ends in an error of ours."""
    raise errors.DocumentNotFound("d")


async def fail(_context: Any) -> None:
    """Ends in a defect."""
    raise ZeroDivisionError


async def abort(context: Any) -> None:
    """Ends by the method's own hand."""
    await context.abort(grpc.StatusCode.NOT_FOUND, "gone")


async def outlive(_context: Any) -> None:
    """Ends at the call's deadline."""
    await asyncio.Event().wait()


async def fits_again(gate: Gate, slots: Slots, channel: grpc.aio.Channel, shape: str) -> None:
    """As many calls as there are slots run at once, and one more does not."""
    assert slots.snapshot().in_use == 0
    gate.opened.clear()
    running = [begin(channel, shape, timeout=60.0) for _ in range(slots.limit)]
    await gate.entered(slots.limit)
    assert slots.snapshot().in_use == slots.limit
    assert (await call(channel, shape)).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    for one in running:
        one.cancel()
    await gate.left(slots.limit)


@pytest.mark.parametrize("shape", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamWriter"])
@pytest.mark.parametrize("end", [answer, refuse, fail, abort, outlive])
async def test_a_slot_comes_back_however_its_call_ends(shape: str, end: Script) -> None:
    """After 200 calls that ended so, the full number fits, and not one more."""
    gate, slots = Gate(end), Slots("queries", CALLS)
    setup = Setup(slots={QUERIES: slots}, default_timeout=2.0 if end is outlive else 60.0, max_timeout=60.0)
    async with setup.serving(gate) as channel:
        ended = asyncio.gather(*(call(channel, shape) for _ in range(CALLS)))
        await gate.entered(CALLS)
        gate.opened.set()
        codes = {one.code for one in await ended}
        await gate.left(CALLS)
        assert len(codes) == 1
        assert grpc.StatusCode.RESOURCE_EXHAUSTED not in codes
        await fits_again(gate, slots, channel, shape)


async def cancel(running: list[Any], _wire: CutWire) -> None:
    """The callers give up."""
    for one in running:
        one.cancel()


async def run_out(_running: list[Any], _wire: CutWire) -> None:
    """The callers' own deadlines pass."""


async def die(_running: list[Any], wire: CutWire) -> None:
    """The callers' connection is gone without a word."""
    wire.cut()


@pytest.mark.parametrize("shape", ["UnaryUnary", "UnaryStream", "StreamUnary", "StreamWriter"])
@pytest.mark.parametrize("leave", [cancel, run_out, die])
async def test_a_slot_comes_back_when_its_caller_is_gone(
    shape: str, leave: Callable[[list[Any], CutWire], Awaitable[None]]
) -> None:
    """After 200 calls that were left by their callers, the full number fits, and not one more."""
    gate, slots = Gate(), Slots("queries", CALLS)
    setup = Setup(slots={QUERIES: slots}, default_timeout=60.0, max_timeout=60.0)
    async with setup.listening(gate) as address:
        with CutWire(address) as wire:
            async with grpc.aio.insecure_channel(wire.address) as doomed:
                timeout = 5.0 if leave is run_out else None
                running = [begin(doomed, shape, timeout=timeout) for _ in range(CALLS)]
                await gate.entered(CALLS)
                await leave(running, wire)
                await gate.left(CALLS)
        async with grpc.aio.insecure_channel(address) as channel:
            await fits_again(gate, slots, channel, shape)
