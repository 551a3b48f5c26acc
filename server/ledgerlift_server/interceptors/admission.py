"""As many calls at once as the server was sized for; the next one is told when to come back.

Each bulkhead has slots of its own: uploads that fill theirs take nothing from queries, and nothing at all
bounds what operators and probes ask (BULKHEAD_OPERATIONS, and methods without a policy). A call holds its
slot until its handler has ended, for until then it holds what the slot stands for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ledgerlift_server.errors import Overloaded
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.resilience.slots import NoSlotFree, Slots, SlotsSnapshot

RETRY_AFTER = 1.0
"""Seconds. Those who are refused together are spread over as long again, so that they do not return together."""


class Admission(CallInterceptor):
    """Takes a slot for each call, or refuses it before anything of it is read."""

    def __init__(
        self, policies: Policies, slots: Mapping[int, Slots], *, jitter: Callable[[], float] = random.random
    ) -> None:
        """`slots` by bulkhead; one that is not among them is not bounded. `jitter` draws from [0, 1)."""
        self._policies = policies
        self._slots = slots
        self._jitter = jitter

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises Overloaded where no slot is free."""
        policy = self._policies.get(call.method)
        slots = self._slots.get(policy.bulkhead) if policy is not None else None
        if slots is None:
            return await proceed()
        try:
            with slots.taken():
                return await proceed()
        except NoSlotFree:
            raise self._refusal(slots) from None

    def snapshot(self) -> Sequence[SlotsSnapshot]:
        """Each bulkhead's slots as they stand now."""
        return tuple(slots.snapshot() for slots in self._slots.values())

    def _refusal(self, slots: Slots) -> Overloaded:
        return Overloaded(
            f"as many {slots.name} are running as this server takes at once, {slots.limit}",
            retry_after=RETRY_AFTER * (1 + self._jitter()),
            metadata={"bound": slots.name, "limit": str(slots.limit)},
        )
