"""When a breaker was open, by the server's own log: what is timed as a refusal began while it was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledgerlift_server.resilience.breaker import BreakerState

from tests.faults.table.workload import Call


@dataclass(frozen=True, slots=True)
class Span:
    """Times as of `time.monotonic`."""

    begin: float
    end: float

    def covers(self, call: Call) -> bool:
        """A call that began before, or that was let through to try, has waited for the dependency as well."""
        return self.begin <= call.began and call.ended <= self.end


def open_spans(changes: Sequence[dict[str, Any]]) -> list[Span]:
    """Of entries `breaker_changed`, in their order, of one server."""
    since_wall = time.monotonic() - time.time()
    opened: dict[str, float] = {}
    spans = []
    for change in changes:
        at = datetime.fromisoformat(change["timestamp"]).timestamp() + since_wall
        if change["new"] == BreakerState.OPEN.value:
            opened[change["breaker"]] = at
        elif change["breaker"] in opened:
            spans.append(Span(opened.pop(change["breaker"]), at))
    return spans
