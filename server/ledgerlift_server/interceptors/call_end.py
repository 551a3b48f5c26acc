"""How calls end: the code that the caller sees and the time that it took, for all who tell of it."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import grpc

from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.resilience.deadline import Clock

ON_ITS_WAY = 0.1
"""Seconds that a call may have taken to come here. Its client's deadline is over so much sooner than ours, and a
client that leaves then is taken to have left because of it."""


class CallObserver(CallInterceptor):
    """Stands outside of the error mapping, sees what every call ends with, and changes nothing."""

    def __init__(self, *, clock: Clock = time.monotonic) -> None:
        """`clock` measures the time taken."""
        self._clock = clock

    def began(self, call: Call) -> None:
        """The call begins."""

    @abstractmethod
    def ended(self, call: Call, code: str, seconds: float) -> None:
        """The call has ended, after `seconds`, with the gRPC status of that name."""

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """See `began` and `ended`."""
        started = self._clock()
        self.began(call)
        return await told(call, proceed, lambda code: self.ended(call, code, self._clock() - started))


async def told(call: Call, proceed: Proceed, ended: Callable[[str], None]) -> Any:
    """What `proceed` returns or raises; `ended` hears the name of the gRPC status in any case."""
    failure: BaseException | None = None
    try:
        return await proceed()
    except BaseException as error:
        failure = error
        raise
    finally:
        ended(_code_of(call.context, failure))


def _code_of(context: Any, failure: BaseException | None) -> str:
    """The name of the gRPC status, as far as it can be told from outside of the error mapping."""
    if failure is None or isinstance(failure, grpc.aio.AbortError):
        code = context.code()
        return code.name if isinstance(code, grpc.StatusCode) else "OK"
    if isinstance(failure, asyncio.CancelledError):
        # grpc cancels the call when its client has left or its client's deadline has passed.
        left = context.time_remaining()
        return "DEADLINE_EXCEEDED" if left is not None and left <= ON_ITS_WAY else "CANCELLED"
    return "UNKNOWN"
