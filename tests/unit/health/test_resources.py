"""`health/resources.py`: what the machine really has, and from where on that is an issue."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from ledgerlift_server.health.resources import MachineResources, SystemResources, Thresholds

QUIET = SystemResources(
    cpu_percent=10.0,
    memory_percent=20.0,
    disk_percent=30.0,
    process_memory=1,
    network_bytes_sent=1,
    network_bytes_received=1,
)


@pytest.mark.parametrize(
    ("resource", "issue"),
    [("cpu_percent", "high_cpu"), ("memory_percent", "high_memory"), ("disk_percent", "high_disk")],
)
def test_each_resource_has_its_threshold(resource: str, issue: str) -> None:
    """Above the threshold, and only that resource."""
    thresholds = replace(Thresholds(99.0, 99.0, 99.0), **{resource: 50.0})
    assert thresholds.issues(replace(QUIET, **{resource: 50.0})) == ()
    assert thresholds.issues(replace(QUIET, **{resource: 50.1})) == (issue,)


def test_several_issues_come_in_order() -> None:
    """All of them, always in the same order."""
    full = replace(QUIET, cpu_percent=95.0, memory_percent=95.0, disk_percent=95.0)
    assert Thresholds().issues(full) == ("high_cpu", "high_memory", "high_disk")


def test_the_machine_is_measured(tmp_path: Path) -> None:
    """Of this process and this disk, by another way to the same figures."""
    measured = MachineResources(tmp_path).measure()
    disk = os.statvfs(tmp_path)
    used = disk.f_blocks - disk.f_bfree
    assert measured.disk_percent == pytest.approx(100 * used / (used + disk.f_bavail), abs=2)
    assert measured.memory_percent == pytest.approx(psutil.virtual_memory().percent, abs=20)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    assert measured.process_memory == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
    received = sum(
        int(line.split(":")[1].split()[0]) for line in Path("/proc/net/dev").read_text().splitlines() if ":" in line
    )
    assert 0 <= measured.network_bytes_received <= received


def work(seconds: float) -> float:
    """Use a processor for so long; how long that took."""
    began = os.times()
    while (spent := os.times()).user - began.user + spent.system - began.system < seconds:
        pass
    return spent.elapsed - began.elapsed


def test_the_share_of_the_processors_is_that_since_the_last_look(tmp_path: Path) -> None:
    """Work in between shows, on whichever thread it is measured."""
    resources = MachineResources(tmp_path, shortest_look=0.0)
    took = work(0.3)
    least = 100 * 0.3 / (took + 0.2) / (os.cpu_count() or 1)
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(resources.measure).result().cpu_percent >= 0.5 * least


def test_a_moment_says_nothing_of_the_processors(tmp_path: Path) -> None:
    """A server that starts uses a processor for a second: no alarm by that, the last share stays."""
    resources = MachineResources(tmp_path, shortest_look=3600.0)
    work(0.1)
    assert resources.measure().cpu_percent == 0.0


def test_a_data_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    """A server whose documents are elsewhere never makes it; the disk is the one on which it would be."""
    there = MachineResources(tmp_path).measure().disk_percent
    assert MachineResources(tmp_path / "not" / "made").measure().disk_percent == pytest.approx(there, abs=2)
