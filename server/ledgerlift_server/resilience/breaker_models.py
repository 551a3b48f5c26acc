"""What a circuit breaker tells of itself, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BreakerState(Enum):
    """Where a breaker stands."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Outcome(Enum):
    """What a call says of its dependency."""

    SUCCESS = "SUCCESS"
    """It answered, if only with a refusal."""
    FAILURE = "FAILURE"
    """It failed, or kept its caller waiting for longer than it may."""
    NEUTRAL = "NEUTRAL"
    """Nothing: the call was cancelled, or had less time than the dependency may take. It may have been slow."""


@dataclass(frozen=True, slots=True)
class BreakerEvent:
    """A change of state; `at` in monotonic seconds."""

    name: str
    old: BreakerState
    new: BreakerState
    at: float


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """`refused_count` and `opened_count` count from the start of the process; `retry_after` is None unless OPEN."""

    name: str
    state: BreakerState
    consecutive_failures: int
    window_calls: int
    window_failures: int
    window_slow: int
    refused_count: int
    opened_count: int
    retry_after: float | None
