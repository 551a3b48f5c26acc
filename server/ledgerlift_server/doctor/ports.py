"""Whether the server could listen where it is told to, and who does so in its place."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress

import psutil

from ledgerlift_server.doctor.findings import Finding, State
from ledgerlift_server.settings import host_and_port

OURS = ("ledgerlift-server", "ledgerlift_server")
"""One of these stands in the command line of a server."""


def look_at_port(setting: str, address: str | None) -> Iterable[Finding]:
    """`setting` is the variable that holds `address`; None: it is not used."""
    what = f"port of {setting}"
    if address is None:
        yield Finding(what, State.OK, "not set: nothing listens")
        return
    host, port = host_and_port(address)
    if port == 0:
        yield Finding(what, State.OK, "any free one")
        return
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server does: connections of its former life that are being closed do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen(1)
    except (socket.gaierror, UnicodeError):
        yield Finding(what, State.FAIL, f"{host} is no address", f"set {setting} to one of this machine")
    except OSError as refused:
        yield _refused(what, setting, address, port, refused)
    else:
        yield Finding(what, State.OK, f"{address} is free")


def _refused(what: str, setting: str, address: str, port: int, refused: OSError) -> Finding:
    if refused.errno == errno.EADDRINUSE:
        holder = _holder(port)
        if holder is not None and _is_ours(holder):
            return Finding(what, State.OK, f"{address} is held by a ledgerlift-server that runs (pid {holder.pid})")
        who = "another process" if holder is None else f"{_name(holder)} (pid {holder.pid})"
        return Finding(what, State.FAIL, f"{address} is held by {who}", f"end it, or set {setting} to another port")
    if refused.errno == errno.EADDRNOTAVAIL:
        return Finding(what, State.FAIL, f"{address} is not of this machine", f"set {setting} to an address that is")
    advice = "a port above 1023" if refused.errno == errno.EACCES else "another address"
    reason = os.strerror(refused.errno or 0)
    return Finding(what, State.FAIL, f"{address} cannot be used: {reason}", f"set {setting} to {advice}")


def _holder(port: int) -> psutil.Process | None:
    """Who listens there; None where that cannot be seen, as with processes of others."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            if listens and getattr(connection.laddr, "port", None) == port and connection.pid:
                return psutil.Process(connection.pid)
    return None


def _is_ours(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(name in word for word in process.cmdline()[:3] for name in OURS)
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return "a process"
