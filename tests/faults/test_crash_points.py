"""A process is killed at each of its steps, over every store and database: one whole document is left, or none."""

from __future__ import annotations

import pytest
from ledgerlift_server.domain.steps import Step

from tests.faults import crash_points
from tests.support.stores import Stores

pytestmark = pytest.mark.timeout(600)  # dozens of processes each


def test_no_step_is_left_out() -> None:
    """Whoever names a new step has to have it killed as well."""
    assert {kill.step for kill in crash_points.ALL} == set(Step)


async def test_servers_that_are_killed(any_stores: Stores) -> None:
    """After one pass of the janitor no orphan; whoever asks again gets the one document, and else there is none."""
    problems = await crash_points.uploads(any_stores)
    assert not problems, "\n".join(problems)


async def test_janitors_that_are_killed(any_stores: Stores) -> None:
    """The next one ends what the last one began, whatever that was."""
    problems = await crash_points.janitor(any_stores)
    assert not problems, "\n".join(problems)
