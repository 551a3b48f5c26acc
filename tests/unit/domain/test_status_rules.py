"""`domain/status_rules.py`: the table of processing states."""

from __future__ import annotations

from itertools import product

import pytest
from ledgerlift_server.domain.models import ProcessingStatus as S
from ledgerlift_server.domain.status_rules import check_transition
from ledgerlift_server.errors import InvalidStatusTransition

ALLOWED = {
    (S.UPLOADED, S.PROCESSING),
    (S.UPLOADED, S.FAILED),
    (S.PROCESSING, S.COMPLETED),
    (S.PROCESSING, S.FAILED),
    (S.PROCESSING, S.RETRYING),
    (S.RETRYING, S.PROCESSING),
    (S.RETRYING, S.FAILED),
    (S.FAILED, S.RETRYING),
}


@pytest.mark.parametrize(("current", "wanted"), sorted(product(S, S)))
def test_every_pair_of_states(current: S, wanted: S) -> None:
    """A change is allowed by the table, or refused with both states and what would be allowed."""
    if (current, wanted) in ALLOWED:
        check_transition(current, wanted)
        return
    with pytest.raises(InvalidStatusTransition) as refused:
        check_transition(current, wanted)
    facts = refused.value.metadata
    assert (facts["from_status"], facts["to_status"]) == (current, wanted)
    named = {S(name) for name in facts["allowed"].split(",") if name}
    assert named == {to for frm, to in ALLOWED if frm is current}


def test_completed_is_final() -> None:
    """The refusal says so."""
    with pytest.raises(InvalidStatusTransition, match="it is final"):
        check_transition(S.COMPLETED, S.PROCESSING)
