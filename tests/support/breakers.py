"""Circuit breakers under test."""

from __future__ import annotations

from ledgerlift_server.resilience.breaker import BreakerOptions, CircuitBreaker, Outcome

OPTIONS = BreakerOptions(jitter=0.0)
"""The defaults, without randomness."""


def end_all(breaker: CircuitBreaker, outcome: Outcome, count: int) -> None:
    """So many calls, one after the other."""
    for _ in range(count):
        breaker.acquire().end(outcome)
