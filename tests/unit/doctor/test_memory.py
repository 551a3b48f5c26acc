"""What the doctor says of memory, and where it finds how much there is."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from ledgerlift_server.doctor import State
from ledgerlift_server.doctor.memory import cgroup_limits, given, look_at_memory, needed

from tests.support.server import IsolatedSettings

MIB = 1024 * 1024
SETTINGS = IsolatedSettings(upload_memory_budget=512 * MIB, max_concurrent_downloads=64)


@pytest.mark.parametrize(
    ("available", "state", "said"),
    [
        (1216, State.OK, ""),
        (1215, State.WARN, "MAX_CONCURRENT_DOWNLOADS (to 63)"),
        (768, State.WARN, "MAX_CONCURRENT_DOWNLOADS (to 1)"),
        (767, State.FAIL, "lower UPLOAD_MEMORY_BUDGET"),
    ],
)
def test_what_the_settings_need_is_held_against_what_there_is(available: int, state: State, said: str) -> None:
    """The formula of docs/operations.md; where not even uploads alone fit, it fails."""
    assert needed(SETTINGS) == 1216 * MIB
    (found,) = look_at_memory(SETTINGS, available=available * MIB)
    assert found.state is state
    assert said in found.advice
    assert found.figure == f"1216 MiB needed at the most, {available} MiB given"


def write(root: Path, **files: str) -> Path:
    """A tree of control groups; `__` in a name stands for a slash, `_at_` for a dot."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_at_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return root


def test_the_least_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    """Version 2: `max` is no limit, and one of a parent holds for all below it."""
    root = write(
        tmp_path / "fs", pods__one__memory_at_max="max", pods__memory_at_max=str(700 * MIB), memory_at_max="max"
    )
    (membership := tmp_path / "membership").write_text("0::/pods/one\n")
    assert list(cgroup_limits(membership, root)) == [700 * MIB]
    assert given(membership, root) == min(700 * MIB, psutil.virtual_memory().total)


def test_in_a_container_the_group_is_found_at_the_root(tmp_path: Path) -> None:
    """Its path is the host's, which the container does not see."""
    root = write(tmp_path / "fs", memory_at_max=str(300 * MIB))
    (membership := tmp_path / "membership").write_text("0::/../../kubepods/pod7\n")
    assert list(cgroup_limits(membership, root)) == [300 * MIB]


def test_version_1_is_read_as_well(tmp_path: Path) -> None:
    """Of its controllers, the one for memory."""
    root = write(
        tmp_path / "fs",
        memory__docker__x__memory_at_limit_in_bytes=str(200 * MIB),
        cpu__docker__x__memory_at_limit_in_bytes=str(MIB),
    )
    (membership := tmp_path / "membership").write_text("4:cpu,cpuacct:/docker/x\n3:memory:/docker/x\n")
    assert list(cgroup_limits(membership, root)) == [200 * MIB]


def test_without_control_groups_it_is_the_machine_s(tmp_path: Path) -> None:
    """Nothing is there to be read."""
    assert given(tmp_path / "none", tmp_path) == psutil.virtual_memory().total
