"""The arithmetic of the benchmark's matrix: a figure that is computed wrongly would look like any other."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from benchmarks.matrix import load
from benchmarks.matrix.__main__ import main
from benchmarks.matrix.bodies import MIB, Body, small
from benchmarks.matrix.findings import Chart, Finding, Findings
from benchmarks.matrix.layers import NATIVE, TRANSPORT, by_layer, layer_of
from benchmarks.matrix.pictures import draw
from benchmarks.upload.stats import Spread

DOMAIN = "write (ledgerlift_server/domain/part_pipeline.py:150)"
DATABASE = "record (ledgerlift_server/adapters/sql/ledger.py:90)"
LIBRARY = "execute (sqlalchemy/engine/base.py:1400)"


@pytest.mark.parametrize("size", [0, 5, 16, 1000, 8 * MIB, 8 * MIB + 1, 17 * MIB])
def test_a_document_has_its_size_and_is_no_other(size: int) -> None:
    """However it is read; from a few bytes on, no two are alike, nor are two of its blocks."""
    body = Body(size)
    data = body.readall()
    assert len(data) == size
    body.seek(size // 2)
    assert body.readall() == data[size // 2 :]
    if size >= 16:
        assert small(size) != data
    assert len({data[at : at + 16] for at in range(0, size, 8 * MIB)}) == -(-size // (8 * MIB))


def test_every_client_calls_at_least_once_and_failures_are_raised() -> None:
    """Also when there is no time at all."""
    calls, lock = [0], threading.Lock()

    def work() -> None:
        with lock:
            calls[0] += 1

    cell = load.run(work, MIB, 5, 0.0, None)
    assert (calls[0], len(cell.latencies), cell.server_cpu) == (5, 5, None)
    with pytest.raises(ZeroDivisionError):
        load.run(lambda: print(1 // 0), MIB, 2, 0.0, None)  # noqa: T201 - never reached


def test_rates_are_of_what_was_done() -> None:
    """Eight documents of 2 MiB in 4 s, for which the server worked 1 s."""
    cell = load.Cell(2 * MIB, 1, seconds=4.0, latencies=[0.5] * 8, server_cpu=1.0)
    assert (cell.rate, cell.mib, cell.cpu_per_gib) == (2.0, 4.0, 64.0)


def test_a_sample_belongs_to_the_innermost_function_of_ours() -> None:
    """What a library does for the database's adapter is the database's."""
    assert "database" in layer_of(("MainThread", DOMAIN, DATABASE, LIBRARY))
    assert "domain" in layer_of(("MainThread", DOMAIN))
    assert layer_of(("MainThread", "run (asyncio/base_events.py:600)")) == TRANSPORT


def test_the_kernels_seconds_are_shared_out_by_samples() -> None:
    """Three of a thread's four samples have three quarters of its seconds, however many another one has."""
    stacks = {("MainThread", DOMAIN): 3, ("MainThread", DOMAIN, DATABASE): 1, ("database", DATABASE): 1000}
    threads = {("MainThread", "user"): 3.0, ("MainThread", "system"): 1.0, ("database", "user"): 0.2}
    threads |= {("grpc (not Python)", "user"): 0.5, ("unseen", "user"): 0.1}
    found = by_layer(stacks, threads, 2.0)
    assert [round(value, 3) for value in found.values()] == [1.5, 0.6, 0.25, 0.05]
    assert found[NATIVE] == 0.25


def test_tables_goals_and_pictures(tmp_path: Path) -> None:
    """A goal that is missed says so, in the text and by the exit status; each chart is a picture."""
    chart = Chart("one", "title", "x", "y")
    chart.add("line", 1, Spread(2.0, 1.0, 3.0))
    found = Finding("Title", "Said.", ("a", "b"), [("1", "2")], chart, [("ratio", 1.5, 2.0)])
    findings = Findings("command", {}, [found])
    assert "ratio: 1.50, goal 2: **not met**." in findings.text()
    assert not findings.all_met
    assert Findings("command", {}, [Finding("Title", "Said.", (), goals=[("ratio", 2.0, 2.0)])]).all_met
    assert not Findings("command", {}, failed=["start: OSError"]).all_met
    assert "| 1 | 2 |" in findings.text()
    findings.write(tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_text())["findings"][0]["goals"] == [["ratio", 1.5, 2.0]]
    assert [path.read_bytes()[1:4] for path in draw([found], tmp_path / "images")] == [b"PNG"]


def test_without_time_nothing_is_begun_and_all_of_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """What was not measured is said, not left away."""
    assert main(["--minutes", "0", "--only", "start,parts"]) == 0
    assert "Not measured: start: the time was up." in capsys.readouterr().out
