"""Counts every call, with the code and the time that its caller saw."""

from __future__ import annotations

import time

from ledgerlift_server.interceptors.call_end import CallObserver
from ledgerlift_server.interceptors.wrap import Call
from ledgerlift_server.observability.metrics.calls import CallMetrics
from ledgerlift_server.resilience.deadline import Clock


class Metrics(CallObserver):
    """Tells `CallMetrics`. Calls of methods that do not exist reach no interceptor, and are not counted."""

    def __init__(self, calls: CallMetrics, *, clock: Clock = time.monotonic) -> None:
        """`clock` measures the time taken."""
        super().__init__(clock=clock)
        self._calls = calls

    def began(self, call: Call) -> None:
        """It is in flight."""
        self._calls.began(call.method)

    def ended(self, call: Call, code: str, seconds: float) -> None:
        """Count the call, whatever its end is."""
        self._calls.ended(call.method, code, seconds)
