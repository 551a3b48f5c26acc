"""The chain of interceptors around real calls of every shape."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from ledgerlift.v1 import policy_pb2
from ledgerlift.v1.upload_service_pb2 import GetUploadRequest
from ledgerlift_server import errors
from ledgerlift_server.interceptors.authentication import Identity
from ledgerlift_server.resilience.deadline import current_deadline
from ledgerlift_server.rpc.caller import current_caller
from ledgerlift_server.rpc.status import DEFECT_MESSAGE, PUSHBACK_TRAILER

from tests.support.captured_log import Entries
from tests.support.chain_setup import MADE_ID, Setup, details_of, every_shape, failing, hang, nothing
from tests.support.loop_clock import until
from tests.support.shapes import Script, begin, call, serving


class Nobody:
    """An authenticator whose caller has no role."""

    async def identify(self, context: Any) -> Identity:
        """Somebody who may do nothing."""
        return Identity("nobody", frozenset())


# The request id.


@every_shape
async def test_the_callers_request_id_comes_back(shape: str) -> None:
    """A caller finds the id that it sent in the trailers of a call that ended well."""
    async with Setup().serving(nothing) as channel:
        answer = await call(channel, shape, metadata=[("x-request-id", "mine-1")])
    assert (answer.code, answer.responses) == (grpc.StatusCode.OK, [b"ok"])
    assert answer.trailers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("given", [None, "", "two words", "x" * 129])
async def test_an_unusable_request_id_is_replaced(given: str | None) -> None:
    """No id, or one that could not be written to a log or header as it is: the server makes one."""
    metadata = [] if given is None else [("x-request-id", given)]
    async with Setup().serving(nothing) as channel:
        answer = await call(channel, "UnaryUnary", metadata=metadata)
    assert answer.trailers["x-request-id"] == MADE_ID


# Errors.


@every_shape
async def test_an_error_of_ours_tells_what_to_do(shape: str) -> None:
    """Code, message, reason, request id and pushback of a refusal reach the caller, whatever the shape."""
    error = errors.Draining("going down", retry_after=0.2)
    async with Setup().serving(failing(error)) as channel:
        answer = await call(channel, shape, metadata=[("x-request-id", "mine-2")])
    assert (answer.code, answer.details) == (grpc.StatusCode.UNAVAILABLE, "going down")
    assert answer.trailers[PUSHBACK_TRAILER] == "200"
    assert answer.trailers["x-request-id"] == "mine-2"
    assert details_of(answer.trailers, error_details_pb2.ErrorInfo).reason == "DRAINING"


@every_shape
async def test_a_defect_is_told_by_its_request_id_only(shape: str, log: Entries) -> None:
    """The text of an unknown exception goes to the log with its traceback; the caller gets an id to quote."""
    async with Setup().serving(failing(ZeroDivisionError("hunter2"))) as channel:
        answer = await call(channel, shape)
    assert (answer.code, answer.details) == (grpc.StatusCode.INTERNAL, DEFECT_MESSAGE)
    assert not any("hunter2" in str(value) for value in answer.trailers.values())
    [defect] = [entry for entry in log() if entry["event"] == "defect"]
    assert defect["request_id"] == MADE_ID
    assert "ZeroDivisionError: hunter2" in defect["exception"]


@every_shape
async def test_a_method_that_aborts_by_itself_is_left_alone(shape: str) -> None:
    """grpc's own health service aborts with NOT_FOUND; that stays what the caller sees."""

    async def abort(context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")

    async with Setup().serving(abort) as channel:
        answer = await call(channel, shape)
    assert (answer.code, answer.details) == (grpc.StatusCode.NOT_FOUND, "no such service")
    assert answer.trailers["x-request-id"] == MADE_ID


async def test_a_method_that_nobody_wrote_is_unimplemented(log: Entries) -> None:
    """A declared method without code is UNIMPLEMENTED, in a sentence, and no defect."""

    def generated_default(_request: bytes, context: Any) -> bytes:
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        raise NotImplementedError("Method not implemented!")

    methods: dict[str, Any] = {"UnaryUnary": grpc.unary_unary_rpc_method_handler(generated_default)}
    async with serving(methods, Setup().interceptors) as channel:
        answer = await call(channel, "UnaryUnary")
    assert (answer.code, answer.details) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "test.Shapes/UnaryUnary is not implemented by this server",
    )
    assert "defect" not in [entry["event"] for entry in log()]


async def test_an_unknown_method_is_unimplemented() -> None:
    """A method of another version of the API is UNIMPLEMENTED."""
    async with serving({}, Setup().interceptors) as channel:
        answer = await call(channel, "UnaryUnary")
    assert answer.code is grpc.StatusCode.UNIMPLEMENTED


async def test_bytes_that_are_no_message_are_the_callers_mistake(log: Entries) -> None:
    """A request that does not parse is INVALID_ARGUMENT, and neither a defect nor a traceback in the log."""

    async def answer_id(request: GetUploadRequest, _context: Any) -> bytes:
        return request.upload_id.encode()

    methods: dict[str, Any] = {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(answer_id, request_deserializer=GetUploadRequest.FromString)
    }
    async with serving(methods, Setup().interceptors) as channel:
        good = await call(channel, "UnaryUnary", request=GetUploadRequest(upload_id="u").SerializeToString())
        bad = await call(channel, "UnaryUnary", request=b"\xff\xff\xff")
    assert good.responses == [b"u"]
    assert bad.code is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(bad.trailers, error_details_pb2.BadRequest).field_violations[0].field == "request"
    await until(lambda: len(log()) >= 2)
    assert [entry["event"] for entry in log()] == ["call_ended", "call_ended"]


# Deadlines.


def left_of(seen: list[float | None]) -> Script:
    """A method that notes how much time it has."""

    async def look(_context: Any) -> None:
        deadline = current_deadline()
        seen.append(None if deadline is None else deadline.remaining())

    return look


@every_shape
@pytest.mark.parametrize(
    ("asked", "expected"), [(None, 10.0), (20.0, 20.0), (500.0, 30.0)], ids=["default", "callers", "capped"]
)
async def test_every_call_has_a_deadline(shape: str, asked: float | None, expected: float) -> None:
    """The caller's, cut to the policy's longest; the policy's default where the caller brings none."""
    seen: list[float | None] = []
    async with Setup().serving(left_of(seen)) as channel:
        await call(channel, shape, timeout=asked)
    assert seen[0] is not None
    assert expected - 2 < seen[0] < expected


@pytest.mark.parametrize(("bulkhead", "expected"), [("BULKHEAD_UPLOADS", 5.0), ("BULKHEAD_QUERIES", 10.0)])
async def test_settings_lower_the_default_and_never_raise_it(bulkhead: str, expected: float) -> None:
    """UPLOAD_TIMEOUT below the policy's default counts; a longer DEFAULT_REQUEST_TIMEOUT does not."""
    seen: list[float | None] = []
    setup = Setup(
        bulkhead=policy_pb2.Bulkhead.Value(bulkhead),
        lowered_timeouts={policy_pb2.BULKHEAD_UPLOADS: 5.0, policy_pb2.BULKHEAD_QUERIES: 90.0},
    )
    async with setup.serving(left_of(seen)) as channel:
        await call(channel, "UnaryUnary")
    assert seen[0] is not None
    assert expected - 2 < seen[0] < expected


@every_shape
async def test_a_method_that_hangs_is_answered_at_its_deadline(shape: str) -> None:
    """Whatever a handler waits for, a caller without a deadline of its own is answered in the policy's time."""
    async with Setup(default_timeout=0.2).serving(hang) as channel:
        answer = await call(channel, shape)
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert details_of(answer.trailers, error_details_pb2.ErrorInfo).reason == "DEADLINE_EXCEEDED"


async def test_a_timeout_of_the_methods_own_is_not_the_calls_deadline() -> None:
    """A TimeoutError that nobody translated is a defect, not DEADLINE_EXCEEDED."""
    async with Setup().serving(failing(TimeoutError())) as channel:
        answer = await call(channel, "UnaryUnary")
    assert answer.code is grpc.StatusCode.INTERNAL


async def test_the_servers_answer_arrives_before_the_callers_clock_runs_out() -> None:
    """What is inside sees a deadline slightly before the caller's, so that its own words still arrive."""

    async def refuse_at_the_deadline(_context: Any) -> None:
        deadline = current_deadline()
        assert deadline is not None
        await asyncio.sleep(deadline.remaining())
        raise errors.DeadlineExceeded("the database did not answer before the deadline")

    async with Setup().serving(refuse_at_the_deadline) as channel:
        answer = await call(channel, "UnaryUnary", timeout=1.0)
    assert answer.details == "the database did not answer before the deadline"


async def test_methods_of_others_have_no_deadline_of_ours() -> None:
    """Health and reflection declare no policy; a Watch of health lasts as long as its caller wants."""
    seen: list[float | None] = []
    async with Setup(policy=False).serving(left_of(seen)) as channel:
        await call(channel, "UnaryStream")
    assert seen == [None]


# Callers.


@every_shape
async def test_the_method_knows_its_caller(shape: str) -> None:
    """Subject, roles and request id of the caller are there for the servicer."""
    seen: list[Any] = []

    async def look(_context: Any) -> None:
        seen.append(current_caller.get())

    async with Setup().serving(look) as channel:
        await call(channel, shape, metadata=[("x-request-id", "mine-3")])
    [caller] = seen
    assert (caller.subject, caller.request_id) == ("anonymous", "mine-3")
    assert caller.roles == {"ROLE_READER", "ROLE_WRITER", "ROLE_OPERATOR"}


@every_shape
async def test_without_the_role_nothing_is_done(shape: str) -> None:
    """The role stands in the policy; without it the method does not run."""
    ran: list[bool] = []

    async def run(_context: Any) -> None:
        ran.append(True)

    async with Setup(authenticator=Nobody()).serving(run) as channel:
        answer = await call(channel, shape)
    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert "ROLE_WRITER" in answer.details
    assert not ran


async def test_probes_need_no_role() -> None:
    """A method without a policy is for everybody: kubelets have no credentials."""
    async with Setup(authenticator=Nobody(), policy=False).serving(nothing) as channel:
        answer = await call(channel, "UnaryUnary")
    assert answer.code is grpc.StatusCode.OK


# Starting and draining.


@every_shape
async def test_until_the_start_is_done_callers_are_told_to_come_back(shape: str) -> None:
    """A call that arrives before the database is known to be there is UNAVAILABLE with a time to wait."""
    setup = Setup(started=False)
    async with setup.serving(nothing) as channel:
        early = await call(channel, shape)
        setup.lifecycle.open()
        later = await call(channel, shape)
    assert (early.code, later.code) == (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK)
    assert early.trailers[PUSHBACK_TRAILER] == "1000"


async def test_health_answers_while_the_server_starts() -> None:
    """A probe is told NOT_SERVING by the health service, not turned away."""
    async with Setup(started=False, policy=False).serving(nothing) as channel:
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK


@pytest.mark.parametrize("shape", ["UnaryStream", "UnaryWriter"])
@pytest.mark.parametrize("policy", [True, False], ids=["watch", "health"])
async def test_a_watch_ends_when_the_server_drains(shape: str, policy: bool) -> None:
    """A stream that never ends by itself is told to go on elsewhere, and a new one is refused the same way."""
    running = asyncio.Event()

    async def watch(_context: Any) -> None:
        running.set()
        await asyncio.Event().wait()

    setup = Setup(bulkhead=policy_pb2.BULKHEAD_WATCHES, policy=policy)
    async with setup.serving(watch) as channel:
        first = asyncio.create_task(call(channel, shape))
        await running.wait()
        setup.lifecycle.drain()
        for answer in (await first, await call(channel, shape)):
            assert answer.code is grpc.StatusCode.UNAVAILABLE
            assert details_of(answer.trailers, error_details_pb2.ErrorInfo).reason == "DRAINING"
            assert answer.trailers[PUSHBACK_TRAILER] == "200"


async def test_a_query_goes_on_while_the_server_drains() -> None:
    """Short calls are answered until the port is closed."""
    setup = Setup()
    async with setup.serving(nothing) as channel:
        setup.lifecycle.drain()
        assert (await call(channel, "UnaryUnary")).code is grpc.StatusCode.OK


# The log, and what a call leaves behind.


async def test_one_entry_for_each_call(log: Entries) -> None:
    """Method, code, caller, request id and time taken; nothing of what was said."""
    async with Setup().serving(failing(errors.DocumentNotFound("d"))) as channel:
        await call(channel, "UnaryUnary", request=b"hunter2", metadata=[("x-request-id", "mine-4")])
    await until(lambda: bool(log()))
    [entry] = log()
    assert {key: entry[key] for key in ("event", "level", "method", "code", "owner", "request_id")} == {
        "event": "call_ended",
        "level": "info",
        "method": "test.Shapes/UnaryUnary",
        "code": "NOT_FOUND",
        "owner": "anonymous",
        "request_id": "mine-4",
    }
    assert entry["duration_ms"] >= 0
    assert "hunter2" not in json.dumps(entry)


async def test_probes_are_logged_for_whoever_asks(log: Entries) -> None:
    """A health check every few seconds is not news: DEBUG."""
    async with Setup(policy=False).serving(nothing) as channel:
        await call(channel, "UnaryUnary")
    assert [entry["level"] for entry in log()] == ["debug"]


async def test_the_log_of_calls_can_be_switched_off(log: Entries) -> None:
    """ENABLE_REQUEST_LOGGING=false."""
    async with Setup(log_calls=False).serving(nothing) as channel:
        await call(channel, "UnaryUnary")
    assert log() == []


async def test_a_caller_that_leaves_is_no_error(log: Entries) -> None:
    """A cancelled call ends as CANCELLED in the log, and what the method opened is closed in the call's own task."""
    running, closed = asyncio.Event(), asyncio.Event()
    closed_by: list[Any] = []

    async def generator(_request: Any, _context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            running.set()
            await asyncio.Event().wait()
        finally:
            closed_by.append(current_caller.get().request_id)
            closed.set()

    methods: dict[str, Any] = {"UnaryStream": grpc.unary_stream_rpc_method_handler(generator)}
    async with serving(methods, Setup().interceptors) as channel:
        watching = begin(channel, "UnaryStream")
        await watching.read()
        await running.wait()
        watching.cancel()
        await asyncio.wait_for(closed.wait(), 10)
    assert closed_by == [MADE_ID]
    await until(lambda: bool(log()))
    assert [(entry["event"], entry["code"]) for entry in log()] == [("call_ended", "CANCELLED")]


async def test_a_caller_whose_time_is_up_is_told_apart_from_one_that_leaves(log: Entries) -> None:
    """grpc cancels the call in both cases; the log says which it was."""
    async with Setup(policy=False).serving(hang) as channel:
        answer = await call(channel, "UnaryUnary", timeout=0.2)
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert [entry["code"] for entry in log()] == ["DEADLINE_EXCEEDED"]


async def test_a_generator_that_is_left_is_closed_at_once() -> None:
    """A generator whose response cannot be sent ends in the call's own task, not in the garbage collector's."""
    tasks: dict[str, Any] = {}

    async def generator(_request: Any, _context: Any) -> AsyncIterator[bytes]:
        tasks["opened"] = asyncio.current_task()
        try:
            yield b"first"
        finally:
            tasks["closed"] = asyncio.current_task()

    def fail(_response: bytes) -> bytes:
        raise ZeroDivisionError

    methods: dict[str, Any] = {
        "UnaryStream": grpc.unary_stream_rpc_method_handler(generator, response_serializer=fail)
    }
    async with serving(methods, Setup().interceptors) as channel:
        answer = await call(channel, "UnaryStream")
    assert answer.code is grpc.StatusCode.INTERNAL
    assert tasks["closed"] is tasks["opened"]
