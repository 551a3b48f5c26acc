"""One entry for each call when it has ended: method, code, time taken. Never what was said."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from ledgerlift_server.interceptors.call_end import CallObserver
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call
from ledgerlift_server.resilience.deadline import Clock

logger = logging.getLogger(__name__)


class AccessLog(CallObserver):
    """Writes the entries. Probes (methods without a policy) are logged at DEBUG."""

    def __init__(self, policies: Policies, *, clock: Clock = time.monotonic) -> None:
        """`clock` measures the time taken."""
        super().__init__(clock=clock)
        self._policies = policies

    def ended(self, call: Call, code: str, seconds: float) -> None:
        """Log the end of the call, whatever it is: at the loop's next turn, when its answer is on its way."""
        level = logging.INFO if call.method in self._policies else logging.DEBUG
        facts = {"code": code, "duration_ms": round(seconds * 1000, 3), "peer": call.context.peer()}
        asyncio.get_running_loop().call_soon(partial(logger.log, level, "call_ended", extra=facts))
