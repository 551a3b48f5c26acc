"""Ports for servers that come back to them."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _USUAL_END = 10_000, 32_768


def lasting_port() -> int:
    """Of the loopback address, free right now, and outside of what the system hands out to whoever connects.

    While its server is away, a port of that range may be taken by any connection, also by one that somebody tries to
    make to that very port: on the loopback it can meet itself.
    """
    end = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else _USUAL_END
    while True:
        port = random.randrange(_FIRST, max(end, _FIRST + 1))  # noqa: S311 - not to be secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def held_port() -> Iterator[int]:
    """Of the loopback address, kept during the block for a server that listens with SO_REUSEADDR, as most do.

    It may come late, go, and come back: nobody else is handed the port, for somebody has it, who does not listen.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
