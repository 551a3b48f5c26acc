"""A breaker whose time passes when the test says so."""

from __future__ import annotations

import pytest
from ledgerlift_server.resilience.breaker import CircuitBreaker

from tests.support.breakers import OPTIONS
from tests.support.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """The breaker's clock."""
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    """The defaults, without randomness."""
    return CircuitBreaker("storage", OPTIONS, clock=clock)
