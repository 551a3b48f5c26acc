"""The one door to a dependency, for tests of what stands behind it."""

from __future__ import annotations

from ledgerlift_server.adapters.dependency import Dependency
from ledgerlift_server.resilience.breaker import BreakerOptions, CircuitBreaker
from ledgerlift_server.resilience.bulkhead import Bulkhead

NEVER = 1_000_000_000


def never_opens(name: str, bulkhead: Bulkhead) -> Dependency:
    """A dependency that is asked however often it failed: what its adapter says of each failure is under test."""
    return Dependency(name, bulkhead, CircuitBreaker(name, BreakerOptions(failure_threshold=NEVER, min_calls=NEVER)))
