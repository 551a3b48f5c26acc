"""Tracing that is asked for where it cannot be had."""

from __future__ import annotations

import sys

import pytest
from ledgerlift_server.settings import InvalidSettings, load


def test_without_its_packages_it_is_named_with_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts, among all other problems; not asked for, nothing of it is missed."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)  # as if it were not installed
    assert not load().tracing_enabled
    monkeypatch.setenv("TRACING_ENABLED", "true")
    with pytest.raises(InvalidSettings) as refused:
        load()
    [problem] = refused.value.problems
    assert (problem.name, "pip install 'ledgerlift[tracing]'" in problem.sentence) == ("TRACING_ENABLED", True)
