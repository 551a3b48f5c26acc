"""`domain/upload_options.py`: sizes of parts and segments that a store, a hash state and the budget can live with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ledgerlift_server.domain.upload_options import (
    GIB,
    MAX_PARTS,
    MIB,
    PART_ALIGNMENT,
    UploadOptions,
    part_size_for,
)

part_sizes = st.integers(1, 2**20).map(lambda n: n * PART_ALIGNMENT)
document_sizes = st.integers(0, 2**45)


@given(part_size=part_sizes, largest=document_sizes, size=st.none() | document_sizes)
@example(part_size=64, largest=640_000, size=640_000)
@example(part_size=64, largest=640_001, size=640_001)
@example(part_size=8 * MIB, largest=50 * GIB, size=None)
def test_parts_fit_the_store_the_hash_and_the_budget(part_size: int, largest: int, size: int | None) -> None:
    """At most 10,000 parts, multiples of a SHA-256 block, never below the ordinary size, each within the budget."""
    draft = UploadOptions(part_size=part_size, max_document_size=0, memory_budget=2**60)
    budget = part_size_for(largest, draft)  # the least that is allowed
    options = UploadOptions(part_size=part_size, max_document_size=largest, memory_budget=budget)
    if size is not None and size > largest:
        size = largest
    chosen = part_size_for(size, options)
    assert chosen % PART_ALIGNMENT == 0
    assert part_size <= chosen <= budget
    assert -(-(largest if size is None else size) // chosen) <= MAX_PARTS
    # No larger than it has to be: one block less would be too many parts, or below the ordinary size.
    assert chosen == part_size or -(-(largest if size is None else size) // (chosen - PART_ALIGNMENT)) > MAX_PARTS


@given(part_size=part_sizes, segment_size=st.integers(1, 2**32))
def test_a_segment_is_whole_parts(part_size: int, segment_size: int) -> None:
    """At least what was asked for, rounded up to parts."""
    options = UploadOptions(segment_size=segment_size)
    segment = options.segment_size_for(part_size)
    assert segment % part_size == 0
    assert segment_size <= segment < segment_size + part_size


def test_the_defaults_hold_together() -> None:
    """5 MiB parts, a little more for the largest document of 50 GiB, thirteen in a segment."""
    options = UploadOptions()
    assert part_size_for(100, options) == 5 * MIB
    assert 50 * GIB / 10_000 <= part_size_for(None, options) < 50 * GIB / 10_000 + 64
    assert options.segment_size_for(5 * MIB) == 65 * MIB
    assert options.segment_size_for(70 * MIB) == 70 * MIB


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"part_size": 0}, "part_size"),
        ({"part_size": -64}, "part_size"),
        ({"part_size": 100}, "part_size"),
        ({"segment_size": 0}, "segment_size"),
        ({"parts_in_flight": 0}, "parts_in_flight"),
        ({"memory_budget": 5 * MIB}, "memory_budget"),
        ({"max_document_size": 10_000 * 512 * MIB + 1}, "memory_budget"),
    ],
)
def test_options_that_could_never_work_are_refused(values: dict[str, Any], named: str) -> None:
    """At construction, by name: not at the first upload."""
    with pytest.raises(ValueError, match=named):
        UploadOptions(**values)


def test_a_budget_of_exactly_one_part_is_enough() -> None:
    """The last value that is allowed is allowed."""
    UploadOptions(part_size=8 * MIB, memory_budget=8 * MIB)
