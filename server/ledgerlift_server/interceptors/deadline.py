"""Every call gets a deadline: the caller's, cut to what the method's policy allows, or the policy's default."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ledgerlift_server.errors import DeadlineExceeded
from ledgerlift_server.interceptors.policy import Policies, Policy
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

ANSWER_MARGIN = 0.1
"""Seconds that an answer gets to arrive before the caller's own clock runs out, at most a tenth of the time."""


class Deadlines(CallInterceptor):
    """Sets the deadline that everything further in keeps, and ends what does not keep it."""

    def __init__(self, policies: Policies, lowered: Mapping[int, float]) -> None:
        """`lowered` holds, by bulkhead, the most seconds that a call gets which brings no deadline."""
        self._policies = policies
        self._lowered = lowered

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raise DeadlineExceeded where the call is not done in time. Methods without a policy have their time."""
        policy = self._policies.get(call.method)
        if policy is None:
            return await proceed()
        seconds = self._seconds(policy, call.context.time_remaining())
        margin = min(ANSWER_MARGIN, seconds / 10)
        try:
            async with asyncio.timeout(seconds) as limit:
                with deadline_scope(Deadline.after(seconds - margin)):
                    return await proceed()
        except TimeoutError:
            if not limit.expired():
                raise
        raise DeadlineExceeded(f"the call did not end within {seconds:.3g} s; its outcome is unknown")

    def _seconds(self, policy: Policy, callers: float | None) -> float:
        if callers is not None:
            return min(callers, policy.max_timeout)
        return min(policy.default_timeout, self._lowered.get(policy.bulkhead, policy.default_timeout))
