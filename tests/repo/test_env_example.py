"""`.env.example` names every setting once, with its default."""

from __future__ import annotations

import re

import pytest
from ledgerlift_server.settings import Settings, load

from tests.support.server import IsolatedSettings
from tests.support.tools import ROOT


def example() -> dict[str, str]:
    """The variables, commented out as they stand there."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [match for line in lines if (match := re.fullmatch(r"#([A-Z][A-Z0-9_]*)=(.*)", line))]
    names = [match[1] for match in found]
    assert len(names) == len(set(names)), "a variable stands there twice"
    return {match[1]: match[2] for match in found}


def test_every_setting_is_there_and_nothing_else() -> None:
    """A new setting is not done before an operator can read of it."""
    assert set(example()) == {name.upper() for name in Settings.model_fields}


def test_the_defaults_are_those_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every line taken as it stands, nothing is different from not setting anything."""
    for name, value in example().items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    assert dict(load()) == dict(IsolatedSettings())
