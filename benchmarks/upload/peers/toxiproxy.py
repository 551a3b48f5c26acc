"""Latency before a server: toxiproxy, with half of it in each direction."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.upload.processes import free_port, running, tool


@asynccontextmanager
async def slowed(endpoint: str, *, round_trip_ms: int, place: Path) -> AsyncIterator[str]:
    """An address in front of `endpoint` (`http://host:port`) whose every round trip takes `round_trip_ms` longer.

    Bytes are held back, not thinned out: bandwidth stays what it was.
    """
    api, port = free_port(), free_port()
    command = [tool("toxiproxy-server"), "-host", "127.0.0.1", "-port", str(api)]
    async with running(command, port=api, log=place / "toxiproxy.log"):
        upstream = urlsplit(endpoint).netloc
        _post(api, "/proxies", {"name": "store", "listen": f"127.0.0.1:{port}", "upstream": upstream})
        for direction in ("upstream", "downstream"):
            toxic = {"type": "latency", "stream": direction, "attributes": {"latency": round_trip_ms // 2}}
            _post(api, "/proxies/store/toxics", toxic)
        yield f"http://127.0.0.1:{port}"


def _post(port: int, path: str, body: object) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "ledgerlift-benchmarks"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback, a scheme of our own
        answer.read()
