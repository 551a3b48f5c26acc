"""A real Prometheus of a test's own, and promtool."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.support.tools import tool

START_TIMEOUT = 60.0
"""Seconds; a busy machine takes its time."""


def promtool(*arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it wrote is in `stdout`."""
    return subprocess.run(
        [tool("promtool"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )


class Prometheus:
    """One that runs, and answers over its API."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], configuration: Path) -> None:
        """`url` is where it listens."""
        self._url = url
        self._process = process
        self._configuration = configuration

    def ask(self, path: str, **parameters: str | float) -> Any:
        """The `data` of an answer. An answer that says what is wrong with the question is an AssertionError."""
        query = urllib.parse.urlencode(parameters)
        try:
            url = f"{self._url}/api/v1/{path}?{query}"
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - ours
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{parameters}: {refused.read().decode()}") from None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that it means now: `metric` are its labels, `value` is time and value."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def until(self, expression: str, *, timeout: float = START_TIMEOUT) -> list[dict[str, Any]]:
        """The first answer that has series in it."""
        give_up_at = time.monotonic() + timeout
        while not (found := self.query(expression)):
            assert time.monotonic() < give_up_at, f"{expression} never was"
            time.sleep(0.1)  # asking is all that tells of it
        return found

    def take_rules(self, *files: Path) -> None:
        """Let it evaluate these from now on."""
        self._reconfigure({"rule_files": [str(file) for file in files]})

    def forget(self, job: str) -> None:
        """Let it scrape the job no more: it has no targets, as where service discovery does not see them."""
        scraped = self._read()["scrape_configs"]
        self._reconfigure({"scrape_configs": [one for one in scraped if one["job_name"] != job]})

    def _read(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load(self._configuration.read_text())
        return read

    def _reconfigure(self, changes: Mapping[str, Any]) -> None:
        self._configuration.write_text(yaml.safe_dump(self._read() | changes))
        self._process.send_signal(signal.SIGHUP)


@contextmanager
def running_prometheus(
    folder: Path,
    *,
    targets: Mapping[str, Sequence[str]],
    rules: Sequence[Path] = (),
    interval: float = 1.0,
    lookback: int = 300,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets`, by job, and evaluates `rules`, each every `interval` seconds.

    `lookback` in seconds is how long a sample is good for; Prometheus' own default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    every = f"{int(interval * 1000)}ms"
    configuration = {
        "global": {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every},
        "rule_files": [str(file) for file in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()
        ],
    }
    (file := folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                f"--query.lookback-delta={lookback}s",
                "--scrape.discovery-reload-interval=100ms",  # not in its help; targets are looked at every 5 s
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Prometheus(_address(process, log), process, file)
    finally:
        process.terminate()
        process.wait(START_TIMEOUT)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it is ready. With port 0 the system chooses, and its log does not say what."""
    give_up_at = time.monotonic() + START_TIMEOUT
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < give_up_at, log.read_text()
        for port in _ports(process.pid):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
                    if answer.status == 200:
                        return f"http://127.0.0.1:{port}"
            except OSError:
                pass
        time.sleep(0.05)


def _ports(pid: int) -> list[int]:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return []
    return [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]
