"""Fixtures of the domain's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.upload_rig import Replica, UploadRig


@pytest.fixture
async def rig(sqlite_url: str, tmp_path: Path) -> AsyncIterator[UploadRig]:
    """Empty stores, this test's own."""
    async with UploadRig(sqlite_url, tmp_path / "objects") as made:
        yield made


@pytest.fixture
async def replica(rig: UploadRig) -> Replica:
    """One server over `rig`."""
    return rig.replica()
