"""A call that needs what is down is refused before it begins; all others go on."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from ledgerlift.v1 import policy_pb2
from ledgerlift_server.resilience.breaker import BreakerOptions, BreakerState, CircuitBreaker, Outcome
from ledgerlift_server.resilience.slots import Slots
from ledgerlift_server.rpc.status import PUSHBACK_TRAILER

from tests.support.chain_setup import Setup, details_of, every_shape, failing, nothing
from tests.support.clock import ManualClock
from tests.support.shapes import call

OPTIONS = BreakerOptions(failure_threshold=1, recovery_timeout=60.0, jitter=0.0, probes=1)


def opened(breaker: CircuitBreaker) -> None:
    """Open it, as a failed call does."""
    breaker.acquire().end(Outcome.FAILURE)
    assert breaker.snapshot().state is BreakerState.OPEN


@every_shape
async def test_while_the_breaker_is_open_the_method_does_not_run(shape: str) -> None:
    """UNAVAILABLE/CIRCUIT_OPEN with the time until the first probe; counted as refused, and no slot is kept."""
    clock = ManualClock()
    storage = CircuitBreaker("storage", OPTIONS, clock=clock)
    database = CircuitBreaker("database", OPTIONS, clock=clock)
    slots = Slots("queries", 1)
    ran: list[Any] = []

    async def run(context: Any) -> None:
        ran.append(context)

    setup = Setup(
        requires=("database", "storage"),
        breakers={"database": database, "storage": storage},
        slots={policy_pb2.BULKHEAD_QUERIES: slots},
    )
    async with setup.serving(run) as channel:
        opened(storage)
        clock.advance(20.0)
        refused = await call(channel, shape)
        assert (refused.code, ran) == (grpc.StatusCode.UNAVAILABLE, [])
        info = details_of(refused.trailers, error_details_pb2.ErrorInfo)
        assert (info.reason, dict(info.metadata)) == ("CIRCUIT_OPEN", {"dependency": "storage"})
        assert details_of(refused.trailers, error_details_pb2.RetryInfo).retry_delay.ToSeconds() == 40
        assert refused.trailers[PUSHBACK_TRAILER] == "40000"
        assert "storage" in refused.details
        assert (storage.snapshot().refused_count, database.snapshot().refused_count) == (1, 0)
        storage.reset()
        assert (await call(channel, shape)).code is grpc.StatusCode.OK
    assert slots.snapshot().refused == 0


async def test_a_stream_is_refused_before_it_is_read() -> None:
    """A client that has sent nothing yet has its answer; nobody waits for its first message."""
    breaker = CircuitBreaker("storage", OPTIONS, clock=ManualClock())
    opened(breaker)
    async with Setup(requires=("storage",), breakers={"storage": breaker}).serving(nothing) as channel:
        to: Any = channel
        silent = to.stream_unary("/test.Shapes/StreamUnary")()
        async with asyncio.timeout(30):
            assert await silent.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("requires", [(), ("database",)])
async def test_who_does_not_need_it_is_answered(requires: tuple[str, ...]) -> None:
    """The storage's open breaker is nothing to a method that needs the database, or nothing."""
    breakers = {name: CircuitBreaker(name, OPTIONS, clock=ManualClock()) for name in ("database", "storage")}
    opened(breakers["storage"])
    async with Setup(requires=requires, breakers=breakers).serving(nothing) as channel:
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK


async def test_methods_without_a_policy_are_answered() -> None:
    """Health tells of an open breaker; it does not fall to it."""
    breaker = CircuitBreaker("storage", OPTIONS, clock=ManualClock())
    opened(breaker)
    setup = Setup(policy=False, requires=("storage",), breakers={"storage": breaker})
    async with setup.serving(nothing) as channel:
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK


async def test_looking_takes_no_permit() -> None:
    """Calls that never reach the dependency neither probe it nor close its breaker, however many they are."""
    clock = ManualClock()
    breaker = CircuitBreaker("storage", OPTIONS, clock=clock)
    opened(breaker)
    clock.advance(60.0)
    async with Setup(requires=("storage",), breakers={"storage": breaker}).serving(nothing) as channel:
        for _ in range(10):
            assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK
        assert breaker.snapshot().state is BreakerState.OPEN  # over, but nobody has probed yet
        probe = breaker.acquire()
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.UNAVAILABLE  # the one probe is out
        probe.end(Outcome.SUCCESS)
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK


async def test_a_failed_call_is_nothing_that_the_interceptor_tells() -> None:
    """What the breaker hears comes from the dependency's own door, not from how an RPC ends."""
    breaker = CircuitBreaker("storage", OPTIONS)
    setup = Setup(requires=("storage",), breakers={"storage": breaker})
    async with setup.serving(failing(ZeroDivisionError())) as channel:
        await call(channel, "UnaryUnary")
    assert breaker.snapshot().state is BreakerState.CLOSED


def test_a_policy_whose_dependency_has_no_breaker_is_refused() -> None:
    """The server does not start with a method that nothing would ever refuse."""
    with pytest.raises(ValueError, match="storage"):
        Setup(requires=("storage",), breakers={})
