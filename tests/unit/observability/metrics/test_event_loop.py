"""How late the event loop is, by looks at it."""

from __future__ import annotations

import random
from typing import Any

from ledgerlift_server import background
from ledgerlift_server.observability.metrics.event_loop import BOUNDS, INTERVAL, EventLoopLag
from prometheus_client import CollectorRegistry

from tests.support.loop_clock import LoopClock, turns

NAME = "ledgerlift_event_loop_lag_seconds"


async def observed(held_up: float, chance: Any) -> tuple[float, float]:
    """Looks, and those later than a quarter of a second, at a loop each turn of which takes `held_up` seconds."""
    registry = CollectorRegistry()
    clock = LoopClock()
    clock.stand_still()
    lag = EventLoopLag(registry, clock=clock, chance=chance)
    async with background.running("lag", lag.run):
        for _ in range(400):
            await turns()
            clock.put_forward(held_up)
    assert 0.25 in BOUNDS
    count = registry.get_sample_value(f"{NAME}_count")
    soon = registry.get_sample_value(f"{NAME}_bucket", {"le": "0.25"})
    assert count is not None
    assert soon is not None
    return count, count - soon


async def test_a_loop_held_up_as_long_as_a_look_takes_is_late() -> None:
    """Looks are not in step with what holds it up, which would be free each time that somebody looks."""
    count, late = await observed(INTERVAL, random.Random(1).random)  # noqa: S311 - to be the same each time
    assert count > 100
    assert late > 0.3 * count


async def test_a_loop_that_turns_soon_is_not_late() -> None:
    """Whenever somebody looks."""
    count, late = await observed(0.05, random.Random(1).random)  # noqa: S311 - to be the same each time
    assert count > 20
    assert late == 0
