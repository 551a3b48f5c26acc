"""The benchmark's own arithmetic: a figure that is computed wrongly would look like any other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import psutil
import pytest

from benchmarks.upload import harness
from benchmarks.upload.comparisons import Comparison
from benchmarks.upload.harness import Track
from benchmarks.upload.memory import MemoryResult
from benchmarks.upload.payload import MIB, Payload
from benchmarks.upload.peers.disk import Disk
from benchmarks.upload.report import Report
from benchmarks.upload.stats import Spread, ratios


def _report(ours: list[float], theirs: list[float], goal: float | None) -> Report:
    report = Report("command", {"python": "3"}, size=100 * MIB, rounds=len(ours))
    report.tracks["embedded"] = {
        "ours": Track("ours", "fsync", 100 * MIB, seconds=ours, client_cpu=[0.1] * len(ours)),
        "theirs": Track("theirs", "none", 100 * MIB, seconds=theirs, client_cpu=[0.1] * len(theirs)),
    }
    report.judge("embedded", [Comparison("ours", "theirs", goal)])
    return report


def test_a_ratio_is_taken_round_by_round() -> None:
    """One slow round for theirs alone moves one ratio of three; the ratio of the medians would be 0.25."""
    assert ratios([10.0, 10.0, 30.0], [20.0, 40.0, 60.0]) == Spread(0.5, 0.25, 0.5)


def test_rates_are_bytes_over_seconds() -> None:
    """100 MiB in 2, 4 and 5 seconds are 50, 25 and 20 MiB/s; the median is 25."""
    assert Track("one", "", 100 * MIB, seconds=[2.0, 4.0, 5.0]).rate == Spread(25.0, 20.0, 50.0)


@pytest.mark.parametrize(("goal", "met", "all_met"), [(0.5, True, True), (0.51, False, False), (None, None, True)])
def test_a_goal_is_judged_by_the_median_ratio(goal: float | None, met: bool | None, all_met: bool) -> None:
    """Twice their time is half their rate: it meets 0.5, misses 0.51, and is not judged without a goal."""
    report = _report([2.0, 2.0, 9.0], [1.0, 1.0, 1.0], goal)
    assert report.judged[0].met is met
    assert report.all_met is all_met


def test_one_peak_above_the_bound_is_a_miss() -> None:
    """Of the memory goal no upload is excused."""
    report = Report("command", {}, size=MIB, rounds=2)
    report.memory.append(MemoryResult("files", MIB, idle=50, peaks=(90, 101), high_water=None, bound=100))
    assert not report.all_met


def test_tables_and_json_say_the_same() -> None:
    """Ratio, goal and verdict are in both, and JSON holds every single round."""
    report = _report([2.0], [1.0], 0.8)
    assert "| ours / theirs | 0.50   | 0.50 - 0.50 | >= 0.8 | NOT MET |" in report.text()
    told = json.loads(json.dumps(report.json()))
    assert told["comparisons"][0]["met"] is False
    assert told["groups"]["embedded"][0]["seconds"] == [2.0]


def test_every_stamp_makes_another_document() -> None:
    """No server can answer from what it has; path and memory hold the same bytes, and the digest is theirs."""
    with Payload(3 * MIB + 5) as payload:
        first = payload.sha256
        payload.stamp()
        assert payload.sha256 != first
        assert hashlib.sha256(payload.path.read_bytes()).hexdigest() == payload.sha256
        assert b"".join(payload.messages()) == bytes(payload.view())
        path = payload.path
    assert not path.exists()


class _Recorder:
    durability = ""
    server: psutil.Process | None = None

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self._seen = seen

    async def send(self, payload: Payload) -> None:
        self._seen.append(self.name)

    async def tidy(self) -> None:
        """Nothing is stored."""


async def test_contestants_take_turns_and_the_first_round_is_not_counted() -> None:
    """Three sends of each, in turn, make two rounds."""
    seen: list[str] = []
    with Payload(MIB) as payload:
        tracks = await harness.run([_Recorder("a", seen), _Recorder("b", seen)], payload, 2, say=lambda line: None)
    assert seen == ["a", "b"] * 3
    assert [len(track.seconds) for track in tracks.values()] == [2, 2]


async def test_the_disk_row_writes_all_of_it(tmp_path: Path) -> None:
    """The bound that durability is held against is a real one."""
    disk = Disk(tmp_path / "disk")
    with Payload(9 * MIB) as payload:
        await disk.send(payload)
        assert (tmp_path / "disk" / "document").read_bytes() == bytes(payload.view())
    await disk.tidy()
    assert not list((tmp_path / "disk").iterdir())
