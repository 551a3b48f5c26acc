"""Whatever bytes come, in whatever field of whatever method: a documented refusal, and a server that is well."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.fuzz import METHODS, Code, fuzz, target

EXAMPLES = 12
"""Calls of each method in each way. More of them: `./scripts/faults fuzz`."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("damaged", [False, True], ids=["messages", "bytes"])
def test_every_method_refuses_what_it_does_not_take(damaged: bool, tmp_path: Path) -> None:
    """INVALID_ARGUMENT and its like, with a reason of the error tree; never INTERNAL, UNKNOWN or UNAVAILABLE."""
    with target(tmp_path) as where:
        for method in METHODS:
            fuzz(where, method, settings(database=None, max_examples=EXAMPLES), damaged=damaged)
        asked = {name for name, _ in where.answers}
        assert asked == {method.name for method in METHODS}
        assert {code for _, code in where.answers} >= {"OK", Code.INVALID_ARGUMENT.name}
