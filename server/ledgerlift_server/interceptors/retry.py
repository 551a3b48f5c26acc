"""A unary call that failed for a reason that is over in a moment is made again, here, while its caller waits.

Only methods that are idempotent by their proto option, and only failures that say so of themselves
(`LedgerLiftError.rerun`): what a layer further in has tried again already must not be multiplied here. A stream
is never made again, for what it has read or written is gone.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

from ledgerlift_server.errors import LedgerLiftError
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.observability import logs
from ledgerlift_server.resilience.retry import Attempts, RetryBudget, RetryPolicy

logger = logging.getLogger(__name__)


class Retries(CallInterceptor):
    """Runs the handler again, within the call's deadline, out of one budget for all calls."""

    def __init__(
        self,
        policies: Policies,
        policy: RetryPolicy,
        budget: RetryBudget,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`policies` say what is idempotent, `policy` how often. `jitter` draws from [0, 1)."""
        self._policies = policies
        self._policy = policy
        self._budget = budget
        self._jitter = jitter

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises what the last attempt raised. From the second on, log entries of the call have its `attempt`."""
        if not self._may_run_again(call):
            return await proceed()
        attempts = Attempts(self._policy, self._budget, jitter=self._jitter)
        while True:
            try:
                answer = await proceed()
            except LedgerLiftError as failure:
                pause = attempts.again() if failure.rerun else None
                if pause is None:
                    if attempts.made > 1:
                        logger.warning("call_given_up", extra={"reason": failure.reason})
                    raise
                logger.info("call_retried", extra={"reason": failure.reason, "pause_s": round(pause, 3)})
            else:
                attempts.succeeded()
                return answer
            await asyncio.sleep(pause)
            logs.bind(attempt=attempts.made)

    def _may_run_again(self, call: Call) -> bool:
        policy = self._policies.get(call.method)
        return policy is not None and policy.idempotent and not (call.request_streaming or call.response_streaming)
