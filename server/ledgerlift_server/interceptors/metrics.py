"""Counts every call, with the code and the time that its caller saw."""

from __future__ import annotations

import time
from typing import Any

from ledgerlift_server.interceptors.call_code import code_of
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.observability.metrics.calls import CallMetrics
from ledgerlift_server.resilience.deadline import Clock


class Metrics(CallInterceptor):
    """Tells `CallMetrics`. Calls of methods that do not exist reach no interceptor, and are not counted."""

    def __init__(self, calls: CallMetrics, *, clock: Clock = time.monotonic) -> None:
        """`clock` measures the time taken."""
        self._calls = calls
        self._clock = clock

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Count the call, whatever its end is."""
        started = self._clock()
        self._calls.began(call.method)
        failure: BaseException | None = None
        try:
            return await proceed()
        except BaseException as error:
            failure = error
            raise
        finally:
            self._calls.ended(call.method, code_of(call.context, failure), self._clock() - started)
