"""A server on port 0 whose methods have every shape that grpc.aio knows, and a client that calls them all alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from ledgerlift_client._aio._told_status import ToldStatus

SERVICE = "test.Shapes"
SHAPES = ("UnaryUnary", "UnaryStream", "UnaryWriter", "StreamUnary", "StreamStream", "StreamWriter")
"""Writers are coroutines that write their responses; the other streams are generators."""

Script = Callable[[Any], Awaitable[None]]
"""What a method does with its context before it answers `ok`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client got. `code` is OK where the call ended well."""

    code: grpc.StatusCode
    details: str
    responses: Sequence[bytes]
    trailers: dict[str, str | bytes]


def handlers(script: Script) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    """One method of each shape, all of which do the same."""

    async def unary(_request: Any, context: Any) -> bytes:
        await script(context)
        return b"ok"

    async def generator(_request: Any, context: Any) -> AsyncIterator[bytes]:
        await script(context)
        yield b"ok"

    async def writer(_request: Any, context: Any) -> None:
        await script(context)
        await context.write(b"ok")

    return {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(unary),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(generator),
        "UnaryWriter": grpc.unary_stream_rpc_method_handler(writer),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(unary),
        "StreamStream": grpc.stream_stream_rpc_method_handler(generator),
        "StreamWriter": grpc.stream_stream_rpc_method_handler(writer),
    }


@asynccontextmanager
async def listening(
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]], interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> AsyncIterator[str]:
    """The address of a server that has `methods` behind `interceptors`."""
    server = grpc.aio.server(interceptors=interceptors, options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def serving(
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]], interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to such a server."""
    async with listening(methods, interceptors) as address, grpc.aio.insecure_channel(address) as channel:
        yield channel


async def call(
    channel: grpc.aio.Channel,
    shape: str,
    *,
    timeout: float | None = None,  # noqa: ASYNC109 - the deadline that goes over the wire
    metadata: Sequence[tuple[str, str]] = (),
    request: bytes = b"",
) -> Answer:
    """Call the method of this shape to its end."""
    running = begin(channel, shape, timeout=timeout, metadata=metadata, request=request)
    told = ToldStatus(running)
    responses: list[bytes] = []
    try:
        if shape.endswith("Unary"):
            responses.append(await running)
        else:
            responses += [response async for response in running]
    except grpc.aio.AioRpcError as error:
        refused: Any = told.instead_of(error)
        return Answer(refused.code(), refused.details(), responses, dict(refused.trailing_metadata()))
    return Answer(await running.code(), await running.details(), responses, dict(await running.trailing_metadata()))


def begin(
    channel: grpc.aio.Channel,
    shape: str,
    *,
    timeout: float | None = None,
    metadata: Sequence[tuple[str, str]] = (),
    request: bytes = b"",
) -> Any:
    """The running call."""
    path = f"/{SERVICE}/{shape}"
    to: Any = channel  # the stubs take messages only, not bytes
    options: dict[str, Any] = {"timeout": timeout, "metadata": tuple(metadata)}
    match shape.startswith("Unary"), shape.endswith("Unary"):
        case True, True:
            return to.unary_unary(path)(request, **options)
        case True, False:
            return to.unary_stream(path)(request, **options)
        case False, True:
            return to.stream_unary(path)(iter([request]), **options)
        case _:
            return to.stream_stream(path)(iter([request]), **options)
