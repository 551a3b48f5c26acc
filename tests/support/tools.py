"""Where the real tools are. A missing one skips its tests, and fails them where `REQUIRE_TOOLS` is set (CI)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "bin"


def missing(what: str) -> None:
    """End the test: `what` is not on this machine."""
    sentence = f"{what} is not installed: run ./scripts/install-tools"
    if os.environ.get("REQUIRE_TOOLS"):
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


def tool(name: str) -> Path:
    """The program `name`, from `.tools/bin` or the PATH."""
    local = TOOLS / name
    if local.exists():
        return local
    found = shutil.which(name)
    if found is None:
        missing(name)
    assert found is not None
    return Path(found)
