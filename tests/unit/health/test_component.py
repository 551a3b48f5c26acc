"""`health/component.py`: what a lost answer means, and when to look again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ledgerlift_server.health.component import SOON, UNREACHABLE_PAUSE, Component, HealthStatus, worst

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USUAL = 30.0


def well() -> Component:
    """A database that has answered."""
    component = Component("database")
    component.answered(0.01, NOW)
    return component


def test_what_was_never_checked_is_not_reachable() -> None:
    """Nothing is claimed before the first answer."""
    component = Component("database")
    assert not component.reachable
    assert component.health.status is HealthStatus.UNHEALTHY
    assert component.health.check_time is None
    component.answered(0.25, NOW)
    assert component.reachable
    assert component.health.status is HealthStatus.HEALTHY
    assert (component.health.response_time, component.health.message, component.health.check_time) == (0.25, "", NOW)


def test_one_lost_answer_is_no_outage_and_two_are() -> None:
    """The first is DEGRADED, and named; the second in a row takes readiness."""
    component = well()
    component.failed("no answer", 3.0, NOW)
    assert component.reachable
    assert (component.health.status, component.health.message) == (HealthStatus.DEGRADED, "no answer")
    component.failed("no answer", 3.0, NOW)
    assert not component.reachable
    assert component.health.status is HealthStatus.UNHEALTHY


def test_an_answer_between_two_failures_starts_the_count_again() -> None:
    """Only failures in a row count."""
    component = well()
    for _ in range(5):
        component.failed("no answer", 3.0, NOW)
        component.answered(0.01, NOW)
    assert component.reachable
    component.failed("no answer", 3.0, NOW)
    assert component.reachable


def test_one_answer_brings_it_back() -> None:
    """However long it was away."""
    component = well()
    for _ in range(9):
        component.failed("no answer", 3.0, NOW)
    component.answered(0.01, NOW)
    assert component.reachable
    assert component.health.status is HealthStatus.HEALTHY


def test_the_verdict_of_a_breaker_counts_at_once() -> None:
    """It has seen many calls fail; one more is not waited for."""
    component = well()
    component.failed("not asked for a while", 0.0, NOW, certain=True)
    assert not component.reachable


@pytest.mark.parametrize("reachable", [True, False])
def test_a_check_that_did_not_get_there_says_nothing(reachable: bool) -> None:
    """However often: a server with all threads busy neither loses its database by that nor gets it back."""
    component = well() if reachable else Component("database")
    for _ in range(5):
        component.not_asked("no connection free", 3.0, NOW)
    assert component.reachable is reachable
    assert component.health.message == "no connection free"
    assert component.health.status is (HealthStatus.DEGRADED if reachable else HealthStatus.UNHEALTHY)


def test_when_to_look_again() -> None:
    """Seldom while all is well, soon while something is unclear, and often enough to see a return."""
    component = well()
    assert component.pause(USUAL, probing=False) == USUAL
    assert component.pause(USUAL, probing=True) == SOON
    component.not_asked("no connection free", 0.0, NOW)
    assert component.pause(USUAL, probing=False) == SOON
    component.answered(0.01, NOW)
    component.failed("no answer", 3.0, NOW)
    assert component.pause(USUAL, probing=False) == SOON
    component.failed("no answer", 3.0, NOW)
    assert component.pause(USUAL, probing=False) == UNREACHABLE_PAUSE
    assert component.pause(0.1, probing=True) == 0.1
    component.answered(0.01, NOW)
    assert component.pause(USUAL, probing=False) == USUAL


def test_the_worst_of_several() -> None:
    """One component that is not well is enough."""
    healthy, degraded, unhealthy = HealthStatus
    assert worst() is healthy
    assert worst(healthy, degraded, healthy) is degraded
    assert worst(unhealthy, degraded, healthy) is unhealthy
