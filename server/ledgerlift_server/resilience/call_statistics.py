"""How often each kind of call was made, how long it took, and how often it failed, since the process began."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency buckets, in seconds; one more has none."""


@dataclass(frozen=True, slots=True)
class OperationSnapshot:
    """One kind of call. `size` in bytes; each bucket counts the calls above the bound before it and up to its own."""

    operation: str
    calls: int
    failures: int
    total_seconds: float
    max_seconds: float
    size: int
    buckets: tuple[tuple[float | None, int], ...]


class _Operation:
    __slots__ = ("buckets", "calls", "failures", "max_seconds", "size", "total_seconds")

    def __init__(self) -> None:
        self.calls = self.failures = self.size = 0
        self.total_seconds = self.max_seconds = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)


class CallStatistics:
    """Counts of the calls to one dependency. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations: dict[str, _Operation] = {}

    def record(self, operation: str, seconds: float, *, failed: bool, size: int = 0) -> None:
        """A call has ended. `operation` is one of a few names; `size` is the bytes that it carried."""
        with self._lock:
            found = self._operations.get(operation)
            if found is None:
                found = self._operations[operation] = _Operation()
            found.calls += 1
            found.failures += failed
            found.size += size
            found.total_seconds += seconds
            found.max_seconds = max(found.max_seconds, seconds)
            found.buckets[bisect_left(BOUNDS, seconds)] += 1

    def snapshot(self) -> tuple[OperationSnapshot, ...]:
        """All kinds of calls made so far, in the order of their names."""
        with self._lock:
            return tuple(
                OperationSnapshot(
                    name,
                    found.calls,
                    found.failures,
                    found.total_seconds,
                    found.max_seconds,
                    found.size,
                    tuple(zip((*BOUNDS, None), found.buckets, strict=True)),
                )
                for name, found in sorted(self._operations.items())
            )
