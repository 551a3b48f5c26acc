"""A server started as a deployment file says, in place of the engine that would read it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.tools import tool

START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
"""Seconds; a busy machine takes its time."""
OWN_PORT = 50051
"""Where every deployment file lets the server listen: in a container nobody else does."""


def free_port() -> int:
    """One that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Replica:
    """One `serve`. `words` start it, in nothing but `environment`, which is the deployment's but for its port."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._environment = at_port(environment, self.port)
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*words, "serve"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What it has written so far."""
        return self._log.read_text()

    def until_healthy(self, command: Sequence[str]) -> None:
        """Return once the deployment's own health command, asked as its engine asks it, is content."""
        give_up_at = time.monotonic() + START_TIMEOUT
        while (asked := self.healthy(command)).returncode != 0:
            assert self._process.poll() is None, f"ended with {self._process.returncode}:\n{self.output}"
            assert time.monotonic() < give_up_at, f"{asked.stderr}\n{self.output}"
            time.sleep(0.2)

    def healthy(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Ask once; exit code 0: yes."""
        program, *arguments = (word.replace(f":{OWN_PORT}", f":{self.port}") for word in command)
        # In the container's environment, as engines do, with the probe of the image on its PATH.
        environment = {**self._environment, "PATH": f"{tool('grpc_health_probe').parent}:/usr/bin:/bin"}
        return subprocess.run(
            [str(tool(program)), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def stop(self) -> int:
        """End it as engines do, and its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT)

    def kill(self) -> None:
        """Whether it has ended or not."""
        self._process.kill()
        self._process.wait()


def run_once(words: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command that ends, `migrate` and the like."""
    return subprocess.run(
        list(words),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STOP_TIMEOUT,
        check=False,
    )


def at_port(environment: Mapping[str, str], port: int) -> dict[str, str]:
    """`environment` with another port of loopback in place of OWN_PORT of everywhere."""
    host, _, own = environment["GRPC_ADDRESS"].rpartition(":")
    assert (host, int(own)) == ("0.0.0.0", OWN_PORT)  # noqa: S104 - a container's, not ours
    metrics = {"METRICS_ADDRESS": "127.0.0.1:0"} if "METRICS_ADDRESS" in environment else {}
    return {**environment, **metrics, "GRPC_ADDRESS": f"{host}:{port}"}
