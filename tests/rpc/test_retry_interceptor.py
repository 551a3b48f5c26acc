"""A failure that is over in a moment is tried again by the server, once more or twice, and by nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import policy_pb2
from ledgerlift.v1.upload_service_pb2 import GetUploadRequest
from ledgerlift_server import errors
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.resilience.retry import RetryBudget, RetryPolicy
from ledgerlift_server.resilience.slots import Slots

from tests.support.captured_log import Entries
from tests.support.chain_setup import AT_ONCE, Setup
from tests.support.loop_clock import until
from tests.support.shapes import SHAPES, begin, call, handlers, serving


class Unresolved(errors.DependencyUnavailable):
    """A failure that may be over at once."""

    rerun = True


class Scripted:
    """A method that ends as the list says, one entry an attempt, and well from then on."""

    def __init__(self, *ends: Exception) -> None:
        """Nothing has been attempted."""
        self._ends = list(ends)
        self.attempts = 0

    async def __call__(self, _context: Any) -> None:
        """The method."""
        self.attempts += 1
        if self._ends:
            raise self._ends.pop(0)


def unresolved(times: int) -> Scripted:
    """Fails so often, then works."""
    return Scripted(*(Unresolved("the outcome is unknown") for _ in range(times)))


async def entries(log: Entries) -> list[tuple[Any, ...]]:
    """Event, level, number of the attempt, reason. A call's end is written behind its answer."""
    await until(lambda: any(entry["event"] == "call_ended" for entry in log()))
    return [(e["event"], e["level"], e.get("attempt"), e.get("reason") or e.get("code")) for e in log()]


async def test_the_caller_sees_only_that_it_worked(log: Entries) -> None:
    """Two attempts fail, the third one answers; the log says of every entry which attempt it was."""
    method = unresolved(2)
    async with Setup().serving(method) as channel:
        answer = await call(channel, "UnaryUnary")
    assert (answer.code, method.attempts) == (grpc.StatusCode.OK, 3)
    assert await entries(log) == [
        ("call_retried", "info", None, "DEPENDENCY_UNAVAILABLE"),
        ("call_retried", "info", 2, "DEPENDENCY_UNAVAILABLE"),
        ("call_ended", "info", 3, "OK"),
    ]


async def test_at_the_end_the_caller_is_told(log: Entries) -> None:
    """After the last attempt its failure is the answer, as if it had been the only one."""
    method = unresolved(100)
    async with Setup().serving(method) as channel:
        answer = await call(channel, "UnaryUnary")
    assert (answer.code, method.attempts) == (grpc.StatusCode.UNAVAILABLE, AT_ONCE.max_attempts)
    assert (await entries(log))[-2:] == [
        ("call_given_up", "warning", 3, "DEPENDENCY_UNAVAILABLE"),
        ("call_ended", "info", 3, "UNAVAILABLE"),
    ]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "UnaryUnary"])
async def test_a_stream_is_never_made_again(shape: str, log: Entries) -> None:
    """What it has read is gone, and what it has written cannot be taken back."""
    method = unresolved(1)
    async with Setup().serving(method) as channel:
        answer = await call(channel, shape)
    assert (answer.code, method.attempts) == (grpc.StatusCode.UNAVAILABLE, 1)
    assert await entries(log) == [("call_ended", "info", None, "UNAVAILABLE")]


@pytest.mark.parametrize(
    ("options", "failure"),
    [
        ({"idempotent": False}, Unresolved("x")),
        ({"policy": False}, Unresolved("x")),
        ({}, errors.DependencyUnavailable("tried again further in, or not worth it")),
        ({}, errors.DeadlineExceeded("x")),
        ({}, errors.DocumentNotFound("d")),
        ({}, ZeroDivisionError()),
    ],
    ids=["not-idempotent", "no-policy", "tried-again-further-in", "deadline", "refusal", "defect"],
)
async def test_what_is_not_made_again(options: dict[str, Any], failure: Exception) -> None:
    """A method that may not run twice, and every failure that does not say that it is worth it."""
    method = Scripted(failure)
    async with Setup(**options).serving(method) as channel:
        answer = await call(channel, "UnaryUnary")
    assert method.attempts == 1
    assert answer.code is not grpc.StatusCode.OK


async def test_a_call_with_attempts_left_is_ended_by_its_deadline() -> None:
    """No pause is begun that would outlive the call: the caller hears of the failure while it still listens."""
    slow = RetryPolicy(first_pause=1e9, longest_pause=1e9, max_attempts=100, patience=2e9)
    method = unresolved(100)
    async with Setup(retry=slow, default_timeout=20.0).serving(method) as channel:
        answer = await call(channel, "UnaryUnary")
    assert (answer.code, method.attempts) == (grpc.StatusCode.UNAVAILABLE, 1)


async def test_attempts_come_out_of_one_budget() -> None:
    """When everything fails, further attempts stop for all callers: load on what is down is not multiplied."""
    method, budget = unresolved(10_000), RetryBudget(5, 1.0)
    async with Setup(budget=budget).serving(method) as channel:
        for _ in range(50):
            await call(channel, "UnaryUnary")
        assert method.attempts == 50 + 5
        method._ends.clear()
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK
    assert budget.tokens == 1.0  # what the success brought back


async def test_each_attempt_has_the_whole_request() -> None:
    """The request is decoded for each attempt; one that the method has changed does not come again."""
    seen: list[str] = []

    async def consume(request: GetUploadRequest, _context: Any) -> bytes:
        seen.append(request.upload_id)
        request.Clear()
        if len(seen) == 1:
            raise Unresolved("x")
        return b"ok"

    methods: dict[str, Any] = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(consume, request_deserializer=GetUploadRequest.FromString)
    }
    async with serving(methods, Setup().interceptors) as channel:
        answer = await call(channel, "UnaryUnary", request=GetUploadRequest(upload_id="u").SerializeToString())
    assert (answer.responses, seen) == ([b"ok"], ["u", "u"])


class Ended(CallInterceptor):
    """Outside of all others: tells when the call has."""

    def __init__(self) -> None:
        """It has not."""
        self.event = asyncio.Event()

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Tell it."""
        try:
            return await proceed()
        finally:
            self.event.set()


async def test_a_caller_that_leaves_between_attempts_ends_them(log: Entries) -> None:
    """Between attempts it is one call, which keeps its slot; the server does not go on for somebody who is gone."""
    method, failed, ended = unresolved(100), asyncio.Event(), Ended()

    async def fail(context: Any) -> None:
        failed.set()
        await method(context)

    long = RetryPolicy(first_pause=50.0, longest_pause=50.0, max_attempts=5, patience=60.0)
    slots = Slots("queries", 1)
    bounded = {policy_pb2.BULKHEAD_QUERIES: slots}
    setup = Setup(retry=long, default_timeout=60.0, max_timeout=60.0, slots=bounded)
    async with serving(handlers(fail), [ended, *setup.interceptors]) as channel:
        waiting = begin(channel, "UnaryUnary")
        await failed.wait()
        assert slots.snapshot().in_use == 1
        waiting.cancel()
        async with asyncio.timeout(20):
            await ended.event.wait()
    assert (method.attempts, slots.snapshot().in_use) == (1, 0)
    assert (await entries(log))[-1] == ("call_ended", "info", None, "CANCELLED")
