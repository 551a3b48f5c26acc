"""The four shapes of an RPC made one: a coroutine around a coroutine.

grpc.aio knows handlers that return a response, generators of responses and coroutines that write them,
each with one request or a stream of them. An interceptor here sees none of that: it is `around` a call
that it lets proceed.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behavior = Callable[[Any, Any], Awaitable[Any]]
"""(request or iterator of requests, context) -> the response; None where responses were written instead."""
Proceed = Callable[[], Awaitable[Any]]
"""Goes on with the call, further in. Once; again only where there is one request and one response."""

WRITE_PATIENCE = 1.0
"""Seconds that the last message of a call that is ended gets to go out: a client that does not read gets no more."""


class Call(NamedTuple):
    """The call at hand. `method` is the path on the wire, `/package.Service/Method`."""

    method: str
    request_streaming: bool
    response_streaming: bool
    context: Any


class HandlerInterceptor(grpc.aio.ServerInterceptor, ABC):
    """Something around the handler of every method. Put there once: built anew for each call, the chain took as long
    as what it does (measured)."""

    @abstractmethod
    def wrapped(self, handler: Handler, method: str) -> Handler:
        """`handler`, which serves `method`, with what is around it."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Called by grpc, for each call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None  # an unknown method: grpc answers UNIMPLEMENTED
        method = handler_call_details.method
        known, wrapped = self._wrapped.get(method, (None, None))
        if known is not handler:
            wrapped = self.wrapped(handler, method)
            self._wrapped[method] = handler, wrapped
        return wrapped

    @cached_property
    def _wrapped(self) -> dict[str, tuple[Handler, Handler]]:
        return {}


class CallInterceptor(HandlerInterceptor):
    """One concern, around every call whatever its shape."""

    @abstractmethod
    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Return what `proceed` returns. A call is one task: context variables set here reach all of it."""

    def wrapped(self, handler: Handler, method: str) -> Handler:
        """`around` it."""
        inner, requests, responses = behavior_of(handler), handler.request_streaming, handler.response_streaming

        async def outer(request: Any, context: Any) -> Any:
            return await self.around(Call(method, requests, responses, context), lambda: inner(request, context))

        return rebuilt(handler, outer, handler.request_deserializer)


def behavior_of(handler: Handler) -> Behavior:
    """What `handler` does, as a coroutine function, whatever its shape."""
    method: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    if inspect.iscoroutinefunction(method):
        behavior: Behavior = method
        return behavior
    if inspect.isasyncgenfunction(method):

        async def write_all(request: Any, context: Any) -> None:
            # Closed here, in the task of the call: left to the garbage collector, a generator would
            # run its `finally` in another task, and none of the call's context variables would be there.
            async with aclosing(method(request, context)) as responses:
                async for response in responses:
                    await _write(context, response)

        return write_all

    async def inline(request: Any, context: Any) -> Any:
        # Only the generated default of a method that nobody wrote is synchronous, and all it does is raise.
        return method(request, context)

    return inline


async def _write(context: Any, response: Any) -> None:
    """Write; cancelled meanwhile, by a drain or a deadline, let the message go out first.

    gRPC takes no status while a message is on its way, and its caller would hear nothing until its own deadline.
    """
    writing = asyncio.ensure_future(context.write(response))
    writing.add_done_callback(lambda write: write.cancelled() or write.exception())
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait({writing}, timeout=WRITE_PATIENCE)
        raise


def rebuilt(
    handler: Handler,
    behavior: Behavior,
    request_deserializer: Callable[[bytes], Any] | None,
) -> Handler:
    """A handler of the same shape that does `behavior`."""
    make: Any
    match handler.request_streaming, handler.response_streaming:
        case False, False:
            make = grpc.unary_unary_rpc_method_handler
        case False, True:
            make = grpc.unary_stream_rpc_method_handler
        case True, False:
            make = grpc.stream_unary_rpc_method_handler
        case _:
            make = grpc.stream_stream_rpc_method_handler
    rebuilt_handler: Handler = make(behavior, request_deserializer, handler.response_serializer)
    return rebuilt_handler
