"""`./scripts/demo` as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.programs import environment, run
from tests.support.tools import ROOT

DEMO = ROOT / "scripts" / "demo"
SIZE = ("--size", "64")  # MiB; the smallest that it takes


def _processes_of(folder: Path, argument: str | None = None) -> list[int]:
    """Processes that were started with this temporary folder, and with `argument` where one is given."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("TMPDIR") == str(folder)
            if mine and (argument is None or argument in process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_everything_comes_back_and_nothing_stays(tmp_path: Path) -> None:
    """The shipped documents and the large file match, the cut upload went on, no file and no process is left."""
    done = run(DEMO, *SIZE, timeout=100, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    names = {"daily-totals.xlsx", "energy-report.pdf", "load-curves.png", "meter-readings.csv", "large.bin"}
    assert set(re.findall(r"^ +(\S+) .* [0-9a-f]{64}  match$", done.stdout, re.MULTILINE)) == names
    kept = re.search(r"(\d+) MiB are durable on the server", done.stdout)
    went_on = re.search(r"went on at (\d+) MiB and sent the other (\d+) MiB", done.stdout)
    assert kept
    assert went_on
    assert 0 < int(kept[1]) <= int(went_on[1]) <= 32 + 8
    assert int(went_on[1]) + int(went_on[2]) == 64
    assert done.stdout.count("document.created") == len(names)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert _processes_of(tmp_path) == []


def test_files_of_ones_own(tmp_path: Path) -> None:
    """Files named on the command line are uploaded in place of the shipped ones, from wherever one stands."""
    own = tmp_path / "my notes [v2].txt"
    own.write_text("Only a few words.\n")
    done = subprocess.run(
        [DEMO, *SIZE, own.name],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if own.name in line]
    assert lines[0].endswith("18/18 bytes")  # its bar
    assert lines[1].endswith("  match")
    assert "energy-report.pdf" not in done.stdout


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong name is said before anything starts."""
    done = run(DEMO, "nonesuch.pdf", TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert "nonesuch.pdf is not a file" in done.stderr


def test_a_file_that_the_server_refuses_fails_the_demo(tmp_path: Path) -> None:
    """A demo that does not end well says why and exits with 1, and still leaves nothing."""
    wrong = tmp_path / "picture.png"
    wrong.write_bytes(b"%PDF-1.4\n not a picture at all\n%%EOF\n")
    (tmp_path / "t").mkdir()
    done = run(DEMO, *SIZE, str(wrong), TMPDIR=str(tmp_path / "t"))
    assert done.returncode == 1
    assert "the demo failed" in done.stdout
    assert "picture.png: declared as image/png" in done.stdout
    assert list((tmp_path / "t").iterdir()) == []
    assert _processes_of(tmp_path / "t") == []


def _interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


def _terminate(process: subprocess.Popen[str]) -> None:
    process.terminate()


@pytest.mark.parametrize("stop", [_interrupt, _terminate], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("when", ["server: ", "2. A file", "3. Another"])
def test_stopped_half_way_it_leaves_nothing(
    tmp_path: Path, stop: Callable[[subprocess.Popen[str]], None], when: str
) -> None:
    """Ctrl-C or SIGTERM at any moment ends the server and removes the files, and the exit code says so."""
    with subprocess.Popen(
        [DEMO, *SIZE],
        env=environment(TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        seen = ""
        for line in demo.stdout:
            seen += line
            if line.startswith(when):
                stop(demo)
        code = demo.wait(100)
    assert when in seen
    assert code == 130, seen
    assert list(tmp_path.iterdir()) == []
    assert _processes_of(tmp_path) == []


def test_ctrl_c_does_not_reach_the_client_that_is_to_be_killed(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to all that it runs: the demo alone answers, and no client's traceback is seen."""
    with subprocess.Popen(
        [DEMO, *SIZE],
        env=environment(TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as demo:
        pause = threading.Event()
        while demo.poll() is None and not _processes_of(tmp_path, "--die-at"):
            pause.wait(0.02)
        os.killpg(demo.pid, signal.SIGINT)
        said, _ = demo.communicate(timeout=100)
    assert demo.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("\nstopped; nothing is left behind\n")
    assert list(tmp_path.iterdir()) == []
    assert _processes_of(tmp_path) == []
