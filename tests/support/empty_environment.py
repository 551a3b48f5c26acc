"""Settings are read without anything that the tests' own environment says."""

from __future__ import annotations

import pytest
from ledgerlift_server.settings import Settings


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sets is there."""
    for field in Settings.model_fields:
        for name in (field.upper(), f"{field.upper()}_FILE"):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
