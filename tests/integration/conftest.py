"""The command line, and the server that it talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import SERVER, Cli
from tests.support.server_thread import server_in_thread


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the tests of a module; each test has documents and keys of its own."""
    with server_in_thread(tmp_path_factory.mktemp("server"), **SERVER) as server:
        yield server.address


@pytest.fixture
def cli(address: str, tmp_path: Path) -> Cli:
    """The command in a folder of this test's own."""
    return Cli(address, tmp_path)
