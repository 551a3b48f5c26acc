"""From a round in which something went wrong to the fewest faults with which it still does."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from tests.faults.campaign.schedule import Planned, Schedule

GoesWrong = Callable[[Schedule], Awaitable[bool]]


async def shrink(schedule: Schedule, goes_wrong: GoesWrong, *, patience: float) -> Schedule:
    """Halves of the faults are left out, then quarters, and so on to single ones, for `patience` seconds.

    What is played is partly chance, so that one try proves only that a schedule is enough, never that it is not: what
    comes out is enough, and may be more than needed.
    """
    give_up_at = time.monotonic() + patience
    faults = list(schedule.faults)
    size = len(faults)
    while size >= 1 and faults:
        start = 0
        while start < len(faults):
            fewer: list[Planned] = faults[:start] + faults[start + size :]
            if time.monotonic() >= give_up_at:
                return schedule.only(faults)
            if await goes_wrong(schedule.only(fewer)):
                faults = fewer
            else:
                start += size
        size //= 2
    return schedule.only(faults)
