"""Servers as processes of their own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "bin"

START_TIMEOUT = 30.0
"""Seconds until a started server must listen."""
STOP_TIMEOUT = 15.0
"""Seconds between SIGTERM and SIGKILL."""


class Unavailable(Exception):
    """Something that the measurement needs is not on this machine. The text says how to get it."""


def tool(name: str) -> Path:
    """The program `name` that `scripts/install-tools` brings. Raises Unavailable."""
    path = TOOLS / name
    if not path.exists():
        raise Unavailable(f"{name} is not installed: run ./scripts/install-tools")
    return path


def fresh(folder: Path) -> Path:
    """`folder`, made."""
    folder.mkdir(parents=True)
    return folder


def free_port() -> int:
    """A TCP port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(
    command: Sequence[object], *, port: int, log: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[psutil.Process]:
    """The process of `command` from when it listens on `port`. It sees `env` and little else of the environment."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting a server takes milliseconds, and nothing else runs
            [str(word) for word in command],
            env={**clean, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        await _listening(process, port, log)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


async def _listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns when this process listens, not another that took the port in between."""
    async with asyncio.timeout(START_TIMEOUT):
        while not _listens(process.pid, port):
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}:\n{_tail(log)}")
            await asyncio.sleep(0.05)


def _listens(pid: int, port: int) -> bool:
    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-2000:]
