"""Single calls over one channel, and short calls with their retries. The only place that meets grpc.aio's stubs."""

# ruff: noqa: ASYNC109 - `timeout` is sent with the calls and bounds their retries; asyncio.timeout would only cancel

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar, cast

import grpc

from ledgerlift_client import _attempt, errors
from ledgerlift_client._aio._told_status import ToldStatus
from ledgerlift_client._attempt import CLOSE_PATIENCE, OVERDUE, Attempt, Operation, TimeLimit
from ledgerlift_client._breaker import Permit
from ledgerlift_client._calls import serialize
from ledgerlift_client._core import ClientCore, header_id, log
from ledgerlift_client._policies import Method

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class RunningCall:
    """A call that is under way."""

    def __init__(self, call: Any, attempt: Attempt) -> None:
        self._call = call
        self._attempt = attempt
        self._told = ToldStatus(call)

    async def result(self) -> Any:
        """The answer. Raises LedgerLiftError."""
        try:
            async with asyncio.timeout(self._attempt.timeout + OVERDUE):
                response = await self._call
        except TimeoutError as error:
            raise self._attempt.overdue() from error
        except grpc.RpcError as error:
            raise self._attempt.failed(self._told.instead_of(error)) from error
        except asyncio.CancelledError as error:
            if _being_cancelled():
                raise
            raise self._attempt.failed(grpc.FutureCancelledError()) from error
        else:
            self._attempt.answered()
            return response
        finally:
            self.leave()

    async def messages(self) -> AsyncGenerator[Any, None]:
        """The answers of a call that gives several. Raises LedgerLiftError."""
        try:
            async for message in self._call:
                self._attempt.answered()
                yield message
            self._attempt.answered()
        except grpc.RpcError as error:
            raise self._attempt.failed(error) from error
        except asyncio.CancelledError as error:
            if _being_cancelled():
                raise
            raise self._attempt.failed(grpc.FutureCancelledError()) from error
        finally:
            self.leave()

    def on_end(self, callback: Callable[[object], None]) -> None:
        """Call `callback` when the call is over; at once where it is already."""
        self._call.add_done_callback(callback)

    def leave(self) -> None:
        """Cancel it where it is not over. To be called in any case."""
        self._call.cancel()
        self._attempt.left()

    async def header(self, name: str) -> str | None:
        """A header of the answer, which is there for a failed call as well. Only behind `result`."""
        return _attempt.header_of(await self._call.initial_metadata(), name)


def _being_cancelled() -> bool:
    """Whether it is this task that was cancelled, rather than its call, which the end of the channel cancels too."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Calls:
    """Every RPC of one client, from one event loop."""

    def __init__(self, make_channel: Callable[[], grpc.aio.Channel], core: ClientCore) -> None:
        """The channel is made with the first call: grpc ties it to the loop that runs then."""
        self.core = core
        self._make_channel = make_channel
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._made: dict[str, Any] = {}

    async def close(self) -> None:
        """Close the channel; calls that are running end. Takes `CLOSE_PATIENCE` at most."""
        self.core.closed = True
        channel, self._channel = self._channel, None
        if channel is None or self.core.forked:
            return
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await channel.close()
        except TimeoutError:
            log.warning("grpc did not close the channel in %.0f s; it is left behind", CLOSE_PATIENCE)

    def transfer(self, timeout: float | None, request_id: str) -> Operation:
        """An operation that is a transfer: many calls, as long as it moves, or within `timeout` seconds."""
        return Operation(self.core.transfer_state(timeout), request_id)

    def short(self, timeout: float | None, request_id: str | None = None) -> Operation:
        """An operation that is one short call."""
        return Operation(self.core.retry_state(timeout), header_id(request_id))

    async def call(
        self,
        method: Method[_Request, _Response],
        request: _Request,
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> _Response:
        """One short call, tried again while its failures may pass and its method is idempotent.

        `timeout` is for all attempts together. Raises any LedgerLiftError.
        """
        operation = self.short(timeout, request_id)
        with self.core.spans.operation(method.name, operation.request_id):
            while True:
                try:
                    response = await self.once(method, request, operation)
                except errors.LedgerLiftError as error:
                    await asyncio.sleep(operation.again(method, error))
                else:
                    operation.state.begun()
                    return response

    async def once(
        self,
        method: Method[_Request, _Response],
        request: _Request,
        operation: Operation,
        limit: float | None = None,
    ) -> _Response:
        """A single attempt, which may take `limit` seconds (None: what its policy says)."""
        allowed = _attempt.short_limit(method, self.core.options, limit)
        call = await self._begin(method, "unary_unary", request, operation, allowed)
        return cast(_Response, await call.result())

    async def stream(
        self, method: Method[_Request, _Response], request: _Request, operation: Operation, limit: TimeLimit
    ) -> AsyncGenerator[_Response, None]:
        """A single attempt of a call that answers with a stream. Cancelled when the iterator is closed."""
        call = await self._begin(method, "unary_stream", request, operation, limit)
        async with aclosing(call.messages()) as messages:
            async for message in messages:
                yield message

    async def upload(self, method: Method[bytes, _Response], feed: Any, operation: Operation) -> RunningCall:
        """A single attempt of a call that takes serialized messages from `feed`, which it stops at its end."""
        limit = _attempt.transfer_limit(method, self.core.options)
        call = await self._begin(method, "stream_unary", feed, operation, limit)
        call.on_end(feed.stop)
        return call

    async def _begin(
        self, method: Method[Any, Any], kind: str, request: Any, operation: Operation, limit: TimeLimit
    ) -> RunningCall:
        """Wait for the breaker, and make the call with what time is left then."""
        self.core.usable()
        while not isinstance(permit := self.core.try_admit(operation.state), Permit):  # noqa: ASYNC110 - no event
            await asyncio.sleep(permit)
        attempt = Attempt(self.core, permit, operation, limit, method.path)
        try:
            make = self._stub(method, kind)
            call = make(request, timeout=attempt.timeout, metadata=attempt.headers)
        except BaseException:
            attempt.left()
            raise
        return RunningCall(call, attempt)

    def _stub(self, method: Method[Any, Any], kind: str) -> Any:
        self.core.usable()
        loop = asyncio.get_running_loop()
        if self._channel is None:
            self._channel, self._loop = self._make_channel(), loop
        elif self._loop is not loop:
            raise RuntimeError("this client was first used in another event loop: make one for each loop")
        stub = self._made.get(method.path)
        if stub is None:
            stub = self._made[method.path] = getattr(self._channel, kind)(
                method.path,
                request_serializer=None if kind == "stream_unary" else serialize,
                response_deserializer=method.response.FromString,
            )
        return stub
