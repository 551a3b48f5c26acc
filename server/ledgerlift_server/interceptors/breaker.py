"""A call that cannot be answered for want of a dependency is told so at once, before anything of it is read.

The breaker itself stands around each call of the dependency (`adapters/dependency.py`). Here it is only looked
at: a permit taken for a whole RPC would count as a slow call, or keep a probe from whoever really calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledgerlift_server.errors import CircuitOpen
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.resilience.breaker import CircuitBreaker


class Breakers(CallInterceptor):
    """Refuses what `requires` a dependency that is not asked at the moment."""

    def __init__(self, policies: Policies, breakers: Mapping[str, CircuitBreaker]) -> None:
        """`breakers` by the names that policies require. Raises ValueError where one of those has none."""
        missing = {name for policy in policies.values() for name in policy.requires} - breakers.keys()
        if missing:
            raise ValueError(f"policies require what has no breaker: {', '.join(sorted(missing))}")
        self._required = {
            method: tuple((name, breakers[name]) for name in policy.requires) for method, policy in policies.items()
        }

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises CircuitOpen."""
        for name, breaker in self._required.get(call.method, ()):
            retry_after = breaker.refusal(counting=True)
            if retry_after is not None:
                raise CircuitOpen.of(name, retry_after=retry_after)
        return await proceed()
