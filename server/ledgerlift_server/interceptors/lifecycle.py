"""Who is let in while the server starts, and what is ended when it drains so that it can stop.

    starting ─> calls are told to come back in a moment; health and reflection answer
    open     ─> everything
    draining ─> streams that would never end by themselves end

While draining, uploads end with what is durable (`domain/upload_entry.py`), and short calls are answered. A
watch would hold the server until its grace has run out: it is told UNAVAILABLE at once, and goes on elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ledgerlift.v1 import policy_pb2

from ledgerlift_server.errors import DependencyUnavailable, Draining
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed

START_RETRY_AFTER = 1.0
"""Seconds that a start-up usually takes at most."""
DRAIN_RETRY_AFTER = 0.2
"""Seconds: another replica can be asked at once."""


class Lifecycle(CallInterceptor):
    """Starting until `open` is called. Streams of methods without a policy (health, reflection) count as watches."""

    def __init__(self, policies: Policies) -> None:
        """`policies` say what a watch is."""
        self._policies = policies
        self._open = False
        self._draining = False
        self._watches: set[asyncio.Timeout] = set()

    def open(self) -> None:
        """Start-up is done."""
        self._open = True

    def drain(self) -> None:
        """End the running watches, and refuse new ones."""
        self._draining = True
        now = asyncio.get_running_loop().time()
        for watch in self._watches:
            watch.reschedule(now)
        self._watches.clear()

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises DependencyUnavailable before the start is done, Draining in the middle of a watch."""
        if not self._open and call.method in self._policies:
            raise DependencyUnavailable("the server is starting", retry_after=START_RETRY_AFTER)
        if not self._is_watch(call):
            return await proceed()
        if not self._draining:
            try:
                async with asyncio.timeout(None) as watch:
                    self._watches.add(watch)
                    return await proceed()
            except TimeoutError:
                if not watch.expired():
                    raise
            finally:
                self._watches.discard(watch)
        raise Draining("the server is shutting down; another replica goes on", retry_after=DRAIN_RETRY_AFTER)

    def _is_watch(self, call: Call) -> bool:
        policy = self._policies.get(call.method)
        if policy is None:
            return call.response_streaming
        return policy.bulkhead == policy_pb2.BULKHEAD_WATCHES
