"""requirements/ pins exactly what pyproject.toml asks for. `scripts/lock` puts it right."""

from __future__ import annotations

import re

import pytest
from packaging.utils import canonicalize_name

from tests.repo.requirements import declared, lock_text, pins

LOCKS = ["server", "build", "dev"]


@pytest.mark.parametrize("lock", ["server", "dev"])
def test_it_satisfies_pyproject(lock: str) -> None:
    """Everything that pyproject.toml names is pinned at a version that it allows."""
    pinned = pins(lock)
    for requirement in declared([lock]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements/{lock}.txt: run scripts/lock"
        assert requirement.specifier.contains(version), f"{requirement} does not allow {version}: run scripts/lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(lock: str) -> None:
    """pip can refuse a file that is not the one that was tested."""
    for block in re.split(r"\n(?=[\w.-]+==)", lock_text(lock))[1:]:
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("lock", LOCKS)
def test_it_names_no_index(lock: str) -> None:
    """Where packages come from is the machine's matter: no line names a host or a folder."""
    lines = lock_text(lock).splitlines()
    assert [line for line in lines if "://" in line or re.match(r"\s*(-i|-f|--(?!hash=)|[./])", line)] == []


def test_what_is_shipped_is_what_was_tested() -> None:
    """The server's versions, and those that build its wheel, are those of the tests."""
    assert pins("server").items() <= pins("dev").items()
    assert "hatchling" in pins("build")
    assert pins("build").items() <= pins("dev").items()
