"""The status that the server ended a stream of requests with, where grpc.aio replaces it by one of its own.

When a write fails because the call is over, grpc.aio sets the call's status to INTERNAL "Internal error from Core",
also over the one that has come (https://github.com/grpc/grpc/issues/36066). A refusal that is made while the client
still sends, its reason and its pushback, would be lost, and be asked for again by another call. Callbacks of the
call's end run each time that a status is set; the first that is not grpc's own is kept here.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

_T = TypeVar("_T")


class ToldStatus:
    """Watches one call."""

    def __init__(self, call: Any) -> None:
        self._told: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._ended)

    def instead_of(self, error: grpc.RpcError) -> grpc.RpcError:
        """`error`, or the server's refusal that it replaced. An OK that was replaced is lost with its answer."""
        replaced = isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.INTERNAL
        return self._told if replaced and self._told is not None else error

    def _ended(self, call: Any) -> None:
        code = _at_once(call.code())
        if self._told is None and code not in (None, grpc.StatusCode.OK, grpc.StatusCode.INTERNAL):
            initial, trailing = _at_once(call.initial_metadata()), _at_once(call.trailing_metadata())
            empty = grpc.aio.Metadata()
            self._told = grpc.aio.AioRpcError(code, initial or empty, trailing or empty, _at_once(call.details()))


def _at_once(answer: Coroutine[Any, Any, _T]) -> _T | None:
    """What a coroutine returns that has nothing to wait for; None if it has."""
    try:
        answer.send(None)
    except StopIteration as end:
        found: _T = end.value
        return found
    finally:
        answer.close()
    return None
