"""The one door to whatever blocks: the database's driver and the store's client.

    call = bulkhead (bounded threads, queue under the deadline) + remaining deadline

No other code talks to a driver. The circuit breaker and the statistics belong here as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ledgerlift_server.errors import DeadlineExceeded, Overloaded
from ledgerlift_server.resilience.bulkhead import Bulkhead, BulkheadFull
from ledgerlift_server.resilience.deadline import DeadlinePassed

T = TypeVar("T")


class Dependency:
    """A component behind its bulkhead. `name` is `database` or `storage`."""

    def __init__(self, name: str, bulkhead: Bulkhead) -> None:
        """The bulkhead is this dependency's own."""
        self.name = name
        self._bulkhead = bulkhead

    async def call(self, fn: Callable[..., T], /, *args: object, lent: bool = False) -> T:
        """The result of `fn(*args)`, run on a thread; `fn` translates its driver's exceptions.

        `lent`: `fn` borrows memory from the caller, see `Bulkhead.run`. Raises Overloaded when no thread
        came free, DeadlineExceeded when the deadline came first (the outcome is unknown then).
        """
        try:
            return await self._bulkhead.run(fn, *args, lent=lent)
        except BulkheadFull:
            raise Overloaded(f"the {self.name} has no connection free", retry_after=1.0) from None
        except DeadlinePassed:
            raise DeadlineExceeded(f"the {self.name} did not answer before the deadline") from None
