"""The upload protocol against a small model: whatever callers do, in whatever order (`protocol_machine.py`)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.rpc.protocol_machine import run_sequences
from tests.support.invariants import clean_up, everything
from tests.support.protocol_world import World, world

EXAMPLES, STEPS = 40, 20
"""Sequences, and what is done in each at the most. More of them: `./scripts/faults protocol`."""

ANSWERS = {"OK", "ABORTED/UPLOAD_SUPERSEDED", "INVALID_ARGUMENT/SIZE_MISMATCH", "OUT_OF_RANGE/OFFSET_GAP"}


@pytest.mark.timeout(600)
def test_every_answer_is_the_models(tmp_path: Path) -> None:
    """The same sequences in every run, not made shorter; afterwards the stores hold what is left, and no more."""
    with world(tmp_path) as there:
        how = settings(database=None, max_examples=EXAMPLES, stateful_step_count=STEPS, phases=[Phase.generate])
        run_sequences(there, how)
        assert there.answers.keys() >= ANSWERS, "else little was tried"
    asyncio.run(_whole(there))


async def _whole(there: World) -> None:
    await clean_up(there.stores, keep_ended=False)
    found = await everything(there.stores)
    assert found.problems() == []
    assert {one.document_id: one.sha256 for one in found.documents} == there.alive
