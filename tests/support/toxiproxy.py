"""toxiproxy between a server and what it depends on: the same address, and behind it whatever a test wants."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import lasting_port
from tests.support.tools import tool

START_TIMEOUT = 30.0
"""Seconds."""
NOBODY = "127.0.0.1:1"
"""Where nothing listens."""


class Toxiproxy:
    """One running toxiproxy. A proxy has a name; `toxics` of it last until `clear`."""

    def __init__(self, api: int, process: subprocess.Popen[bytes]) -> None:
        self._api = api
        self._process = process
        self.listens: dict[str, str] = {}
        """Where each proxy listens (`host:port`), by its name."""

    @classmethod
    @contextmanager
    def running(cls, folder: Path) -> Iterator[Toxiproxy]:
        """Gone behind the block, and with it every connection through it."""
        api = free_port()
        with (folder / "toxiproxy.log").open("ab") as log:
            process = subprocess.Popen(
                [str(tool("toxiproxy-server")), "-host", "127.0.0.1", "-port", str(api)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            proxy = cls(api, process)
            proxy._wait_until_ready()
            yield proxy
        finally:
            process.kill()
            process.wait()

    @property
    def is_running(self) -> bool:
        """False when it has ended by itself."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would; its addresses lead nowhere any more."""
        self._process.kill()
        self._process.wait()

    def put_before(self, name: str, upstream: str) -> str:
        """An address (`host:port`) that leads to `upstream`."""
        self.listens[name] = f"127.0.0.1:{lasting_port()}"
        self._ask("POST", "/proxies", {"name": name, "listen": self.listens[name], "upstream": upstream})
        return self.listens[name]

    def remove(self, name: str) -> None:
        """The address leads nowhere any more."""
        self._ask("DELETE", f"/proxies/{name}", None)
        del self.listens[name]

    def lead_to(self, name: str, upstream: str) -> None:
        """Let the same address lead elsewhere; its connections are closed."""
        self._ask("POST", f"/proxies/{name}", {"listen": self.listens[name], "upstream": upstream, "enabled": True})

    def lead_nowhere(self, name: str) -> None:
        """Connections are closed, those that are made now and those that are open; toxics stay for later."""
        self.lead_to(name, NOBODY)

    def black_hole(self, name: str) -> None:
        """Connections are made and stay; nothing comes through any more."""
        self._toxic(name, "timeout", timeout=0)

    def reset(self, name: str) -> None:
        """Every connection is reset (RST) when somebody sends, those that are open as well."""
        self._toxic(name, "reset_peer", timeout=0)

    def delay(self, name: str, seconds: float) -> None:
        """Whatever is answered comes so much later; nothing gets lost."""
        self._ask(
            "POST",
            f"/proxies/{name}/toxics",
            {"type": "latency", "stream": "downstream", "attributes": {"latency": int(seconds * 1000)}},
        )

    def lose_answers(self, name: str) -> None:
        """What is asked for arrives and is done; the connection is closed in place of the answer."""
        self._ask(
            "POST",
            f"/proxies/{name}/toxics",
            {"type": "limit_data", "stream": "downstream", "attributes": {"bytes": 0}},
        )

    def calm(self, name: str) -> None:
        """No toxics of this one any more."""
        for toxic in json.loads(self._ask("GET", f"/proxies/{name}/toxics", None)):
            self._ask("DELETE", f"/proxies/{name}/toxics/{toxic['name']}", None)

    def clear(self) -> None:
        """No toxics anywhere, every proxy at work."""
        self._ask("POST", "/reset", None)

    def _toxic(self, name: str, kind: str, **attributes: int) -> None:
        for stream in ("upstream", "downstream"):
            body = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
            self._ask("POST", f"/proxies/{name}/toxics", body)

    def _ask(self, method: str, path: str, body: Any) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._api}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "ledgerlift-tests"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_TIMEOUT
        while True:
            try:
                self._ask("GET", "/version", None)
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < give_up_at, "toxiproxy does not answer"
                time.sleep(0.02)  # it says nowhere else that it is ready
            else:
                return


def free_port() -> int:
    """Of the loopback address, right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
