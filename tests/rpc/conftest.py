"""Servers that the tests of the client share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.upload_peer import UploadPeer


@pytest.fixture
def peer() -> Iterator[UploadPeer]:
    """A server that breaks on request."""
    with UploadPeer() as server:
        yield server
