"""One entry for each call when it has ended: method, code, time taken. Never what was said."""

from __future__ import annotations

import logging
import time
from typing import Any

from ledgerlift_server.interceptors.call_code import code_of
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.resilience.deadline import Clock

logger = logging.getLogger(__name__)


class AccessLog(CallInterceptor):
    """Writes the entries. Probes (methods without a policy) are logged at DEBUG."""

    def __init__(self, policies: Policies, *, clock: Clock = time.monotonic) -> None:
        """`clock` measures the time taken."""
        self._policies = policies
        self._clock = clock

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Log the end of the call, whatever it is."""
        started = self._clock()
        failure: BaseException | None = None
        try:
            return await proceed()
        except BaseException as error:
            failure = error
            raise
        finally:
            level = logging.INFO if call.method in self._policies else logging.DEBUG
            facts = {
                "code": code_of(call.context, failure),
                "duration_ms": round((self._clock() - started) * 1000, 3),
                "peer": call.context.peer(),
            }
            logger.log(level, "call_ended", extra=facts)
