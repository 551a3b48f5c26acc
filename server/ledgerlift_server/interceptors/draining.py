"""Streams that would never end by themselves are ended when the server drains, so that it can stop.

Uploads end with what is durable (`domain/upload_entry.py`), short calls by themselves. A watch would hold
the server until its grace has run out: it is told UNAVAILABLE at once, and goes on elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ledgerlift.v1 import policy_pb2

from ledgerlift_server.errors import Draining
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed

RETRY_AFTER = 0.2
"""Seconds: another replica can be asked at once."""


class WatchEnding(CallInterceptor):
    """Knows the running watches. Streams of methods without a policy (health, reflection) count as such."""

    def __init__(self, policies: Policies) -> None:
        """`policies` say what a watch is."""
        self._policies = policies
        self._running: set[asyncio.Timeout] = set()
        self._draining = False

    def drain(self) -> None:
        """End the running watches, and refuse new ones."""
        self._draining = True
        now = asyncio.get_running_loop().time()
        for watch in self._running:
            watch.reschedule(now)
        self._running.clear()

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises Draining in the middle of a watch."""
        if not self._is_watch(call):
            return await proceed()
        if not self._draining:
            try:
                async with asyncio.timeout(None) as watch:
                    self._running.add(watch)
                    return await proceed()
            except TimeoutError:
                if not watch.expired():
                    raise
            finally:
                self._running.discard(watch)
        raise Draining("the server is shutting down; another replica goes on", retry_after=RETRY_AFTER)

    def _is_watch(self, call: Call) -> bool:
        policy = self._policies.get(call.method)
        if policy is None:
            return call.response_streaming
        return policy.bulkhead == policy_pb2.BULKHEAD_WATCHES
