"""`python -m tests.support.unreliable_server SHARE`: the server behind an intermediary that has bad days.

It answers UNAVAILABLE to a SHARE (0 to 1) of all calls of whatever service, health included, without any detail, as
proxies do: to one half of them before the server hears of the call, to the other half in place of an answer that the
server has given, so that what was asked for is done and the caller is told otherwise.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Any

import grpc
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.observability import logs
from ledgerlift_server.serve import serve
from ledgerlift_server.settings import load


class Unreliable(CallInterceptor):
    """Outside of everything that the server does, so that none of it knows."""

    def __init__(self, share: float) -> None:
        self._share = share

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Refuse the call, let it be and deny it, or let it be."""
        drawn = random.random()  # noqa: S311 - not to be secret
        if drawn < self._share / 2:
            await _unavailable(call)
        answer = await proceed()
        if drawn < self._share:
            await _unavailable(call)
        return answer


async def _unavailable(call: Call) -> None:
    await call.context.abort(grpc.StatusCode.UNAVAILABLE, "no healthy upstream")


def main() -> None:
    """Serve, as `ledgerlift-server serve` does."""
    share = float(sys.argv[1])
    make = grpc.aio.server

    def behind(*, interceptors: Sequence[Any], options: Sequence[tuple[str, Any]]) -> grpc.aio.Server:
        return make(interceptors=[Unreliable(share), *interceptors], options=options)

    grpc.aio.server = behind  # type: ignore[assignment]  # only as the server's own code calls it
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
