"""`doctor/clocks.py`: how far two clocks may be apart before somebody is told."""

from __future__ import annotations

import pytest
from ledgerlift_server.doctor.clocks import DATABASE_TOLERANCE, REFUSED, STORE_TOLERANCE, clock
from ledgerlift_server.doctor.findings import State


@pytest.mark.parametrize(
    ("ahead", "tolerated", "refused", "state"),
    [
        (0.0, DATABASE_TOLERANCE, None, State.OK),
        (-2.0, DATABASE_TOLERANCE, None, State.OK),
        (2.1, DATABASE_TOLERANCE, None, State.WARN),
        (-86_400.0, DATABASE_TOLERANCE, None, State.WARN),  # the database refuses nothing for it
        (60.0, STORE_TOLERANCE, REFUSED, State.OK),
        (-60.1, STORE_TOLERANCE, REFUSED, State.WARN),
        (899.0, STORE_TOLERANCE, REFUSED, State.WARN),
        (-900.0, STORE_TOLERANCE, REFUSED, State.FAIL),
    ],
)
def test_who_is_told_of_a_clock(ahead: float, tolerated: float, refused: float | None, state: State) -> None:
    """Either way round: a database's makes logs hard to read, a store's ends in refusals."""
    found = clock("store clock", ahead, tolerated=tolerated, refused=refused)
    assert found.state is state
    assert ("ahead of" if ahead >= 0 else "behind") in found.figure
    assert bool(found.advice) == (state is not State.OK)
