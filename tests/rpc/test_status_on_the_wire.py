"""`rpc/status.py` against a real server: what a client receives is what was said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from google.rpc.status_pb2 import Status
from ledgerlift_server import errors
from ledgerlift_server.rpc.status import DETAILS_TRAILER, PUSHBACK_TRAILER, REQUEST_ID_TRAILER, status_of

Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

METHOD = "/test.Status/Fail"


@asynccontextmanager
async def call_that_fails(error: Exception, request_id: str) -> AsyncIterator[Call]:
    """A method of a server on port 0 that ends in `error`."""

    async def fail(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort_with_status(status_of(error, request_id))

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(fail)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Status", {"Fail": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel.unary_unary(METHOD)
    finally:
        await server.stop(None)


WORST = [
    errors.InvalidRequest([errors.FieldViolation("\U0001f4a5" * 400, "\u00e4" * 4000)] * 99),
    errors.Overloaded("\U0001f4a5" * 4000, metadata={f"\u00fc{i}" * 99: "\u00df" * 999 for i in range(99)}),
    errors.KeyTaken("a\0b\nc\ud800", resource=errors.Resource("document", "\udfff" * 9999)),
]


@pytest.mark.parametrize("error", WORST, ids=lambda error: type(error).__name__)
async def test_the_largest_answer_reaches_the_client(error: errors.LedgerLiftError) -> None:
    """Message, details and trailers together stay within what a client accepts as metadata."""
    said = status_of(error, "\u00e9" * 999)
    async with call_that_fails(error, "\u00e9" * 999) as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=10)
    assert (caught.value.code(), caught.value.details()) == (said.code, said.details)
    received = dict(caught.value.trailing_metadata() or ())
    assert {key: received[key] for key in dict(said.trailing_metadata)} == dict(said.trailing_metadata)


async def test_pushback_and_request_id_are_trailers() -> None:
    """A caller that may try again finds the wait in milliseconds, and the id to quote, beside the details."""
    async with call_that_fails(errors.Draining("going", retry_after=0.2), "r-1") as call:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=10)
    received = dict(caught.value.trailing_metadata() or ())
    assert (received[PUSHBACK_TRAILER], received[REQUEST_ID_TRAILER]) == ("200", "r-1")
    assert Status.FromString(received[DETAILS_TRAILER]).message == "going"
