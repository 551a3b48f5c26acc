"""When a breaker opens, for how long, and how it finds out that it may close."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """Options of a `CircuitBreaker`. Times are in seconds. Validated on construction (ValueError names the field)."""

    failure_threshold: int = 5
    """Failures in a row that open it."""
    window: float = 10.0
    """Length of the sliding window of the two rates below."""
    min_calls: int = 20
    """Calls in the window below which the rates say nothing."""
    failure_rate: float = 0.5
    """Share of failures in the window that opens it."""
    slow_rate: float = 0.8
    """Share of slow calls in the window that opens it."""
    slow_call: float = 5.0
    """A call that takes as long is slow, whatever it answers."""
    recovery_timeout: float = 60.0
    """How long it stays open before probes are let through, the first time."""
    max_recovery_timeout: float = 300.0
    """What that grows to at the most, before jitter."""
    growth: float = 2.0
    """Factor of the recovery timeout each time that the probes fail."""
    jitter: float = 0.1
    """Largest random share of the recovery timeout that is added, so that replicas do not probe in step."""
    probes: int = 3
    """Calls let through at once when half-open, and answers that close it."""
    probe_timeout: float = 30.0
    """After which a probe that has not ended gives its place to another."""

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        for name in ("failure_threshold", "min_calls", "probes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("window", "slow_call", "recovery_timeout", "max_recovery_timeout", "probe_timeout"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"{name} must be more than 0 seconds, not {seconds}")
        for name in ("failure_rate", "slow_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be more than 0 and at most 1")
        if not (math.isfinite(self.growth) and self.growth >= 1):
            raise ValueError("growth must be at least 1")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must be from 0 to 1")
        if self.max_recovery_timeout < self.recovery_timeout:
            raise ValueError("max_recovery_timeout must not be less than recovery_timeout")

    def open_for(self, repeats: int, jitter: float) -> float:
        """Seconds to stay open after the probes have failed `repeats` times; `jitter` is in [0, 1)."""
        doublings = min(repeats, 60)  # past any cap; a float does not hold 2 ** 1024
        grown = min(self.max_recovery_timeout, self.recovery_timeout * self.growth**doublings)
        return grown * (1 + self.jitter * jitter)
