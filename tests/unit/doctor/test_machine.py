"""What the doctor says of file descriptors and of the disk."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from ledgerlift_server.doctor import State
from ledgerlift_server.doctor.machine import look_at_descriptors, look_at_disk, look_at_versions

from tests.support.server import IsolatedSettings

OWN = 64 + 8
"""Of a server on SQLite and files."""
CALLERS = 2000 + 500


@pytest.mark.parametrize(
    ("limit", "state"),
    [
        (OWN, State.FAIL),
        (1024, State.WARN),
        (OWN + CALLERS, State.OK),
        (resource.RLIM_INFINITY, State.OK),
    ],
)
def test_descriptors_are_counted_by_what_may_be_open_at_once(limit: int, state: State) -> None:
    """Its own are a must; with a connection for each upload and download it is well."""
    (found,) = look_at_descriptors(IsolatedSettings(), limit=limit)
    assert found.state is state
    assert (f"raise it to {OWN + CALLERS}" in found.advice) is (state is not State.OK)


def test_pools_and_connections_to_the_store_count() -> None:
    """20 + 30 to PostgreSQL, 100 to S3."""
    settings: dict[str, Any] = {"database_url": "postgresql://db/ledger", "s3_bucket": "documents"}
    (found,) = look_at_descriptors(IsolatedSettings(**settings), limit=100_000)
    assert f"{64 + 50 + 100} for itself" in found.figure


def test_a_disk_is_looked_at_where_the_folder_would_be_made(tmp_path: Path) -> None:
    """Nothing is left on it."""
    folder = tmp_path / "not" / "yet"
    writing, disk = list(look_at_disk(IsolatedSettings(data_dir=folder, high_disk_percent=100)))[:2]
    assert writing.state is State.OK
    assert "MiB free of" in disk.figure
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_fuller_than_told_is_said(tmp_path: Path) -> None:
    """HIGH_DISK_PERCENT, which health reports by."""
    _, disk, *_ = look_at_disk(IsolatedSettings(data_dir=tmp_path, high_disk_percent=1e-6))
    assert disk.state in (State.WARN, State.FAIL)  # a machine of tests may have very little left


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    """DATA_DIR is below a file, or is one."""
    (tmp_path / "file").touch()
    found, *_ = look_at_disk(IsolatedSettings(data_dir=tmp_path / "file" / "data"))
    assert (found.what, found.state) == ("DATA_DIR", State.FAIL)


def test_where_nothing_is_kept_nothing_is_looked_at() -> None:
    """With PostgreSQL and S3 there need be no disk."""
    settings: dict[str, Any] = {"database_url": "postgresql://db/ledger", "s3_bucket": "documents"}
    (found,) = look_at_disk(IsolatedSettings(**settings, data_dir="/nonesuch"))
    assert (found.state, found.figure) == (State.OK, "nothing is kept on it")


def test_versions_are_said() -> None:
    """For whoever is asked for help."""
    version, digest = look_at_versions()
    assert version.figure.startswith("ledgerlift ")
    assert digest.what == "SHA-256"
