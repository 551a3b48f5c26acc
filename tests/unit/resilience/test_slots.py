"""Slots: as many as there are, and each comes back."""

from __future__ import annotations

import pytest
from ledgerlift_server.resilience.slots import NoSlotFree, Slots, SlotsSnapshot


def test_the_last_slot_is_given_and_one_more_is_not() -> None:
    """`limit` hold one at once; who is refused has taken nothing."""
    slots = Slots("uploads", 2)
    with slots.taken(), slots.taken():
        for _ in range(3):
            with pytest.raises(NoSlotFree), slots.taken():
                raise AssertionError("entered")
        assert slots.snapshot() == SlotsSnapshot("uploads", in_use=2, limit=2, refused=3)
    assert slots.snapshot() == SlotsSnapshot("uploads", in_use=0, limit=2, refused=3)


@pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_a_slot_comes_back_however_its_block_ends(end: type[BaseException]) -> None:
    """Also where what ends it is no Exception."""
    slots = Slots("uploads", 1)
    with pytest.raises(end), slots.taken():
        raise end
    assert slots.snapshot().in_use == 0
    with slots.taken():
        assert slots.snapshot().in_use == 1


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_lets_nothing_through_is_a_mistake(limit: int) -> None:
    """The message says whose."""
    with pytest.raises(ValueError, match="watches"):
        Slots("watches", limit)
