"""The connections to the store: pooled, kept alive, and never waiting beyond the deadline of the call at hand.

botocore sets timeouts once for a client, and urllib3 sends under the timeout for connecting. Here each request
gets its own, from `current_deadline()`, which a thread of the bulkhead sees as the task that called it does.

botocore asks before each body whether the store wants it (`Expect: 100-continue`): a round trip for each part. Here
a body is sent at once, and only a further attempt asks. Measured with 50 ms before the store: 76 MiB/s where it was
57. A store that refuses without reading the body may close the connection before its answer has been read; where that
is lost, the question brings it.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.handlers import add_expect_header
from urllib3.util import Timeout

from ledgerlift_server.resilience.deadline import time_left

_LEAST = 0.001
"""Seconds; urllib3 takes no timeout of 0."""

_patience: ContextVar[float] = ContextVar("patience")
_asks: ContextVar[bool] = ContextVar("asks")


@contextmanager
def attempt(*, patience: float, asks: bool) -> Iterator[None]:
    """Let the requests of the block wait `patience` seconds for the store to take or give the next bytes, and ask the
    store before they send a body."""
    set_before, asked_before = _patience.set(patience), _asks.set(asks)
    try:
        yield
    finally:
        _patience.reset(set_before)
        _asks.reset(asked_before)


def install(client: Any) -> None:
    """Make `client` use the pools below. To be called before its first request; then only within an `attempt`.

    There is no public way to them: `Config` has one timeout for all requests. A botocore that keeps its pools
    elsewhere is an AttributeError here, at start, and not a timeout that is quietly ignored.
    """
    client._endpoint.http_session._pool_classes_by_scheme.update(http=_HTTPPool, https=_HTTPSPool)
    client.meta.events.unregister("before-call.s3", add_expect_header)
    client.meta.events.register("before-call.s3", _ask)


def _ask(**request: Any) -> None:
    if _asks.get():
        add_expect_header(**request)


def _bytes_timeout() -> float:
    return max(_LEAST, time_left(_patience.get()))


class _PoolMixin:
    timeout: Timeout

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        connect = self.timeout.connect_timeout
        assert isinstance(connect, int | float)
        kwargs["timeout"] = Timeout(connect=max(_LEAST, time_left(connect)), read=_bytes_timeout())
        return super().urlopen(*args, **kwargs)  # type: ignore[misc]  # of the pool that this is mixed into


class _WholeLines:
    """Lines of a head, each to its end: the end of the connection is none."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readline(self, limit: int = -1) -> bytes:
        """Raises RemoteDisconnected, which is a connection that broke, where the line does not end."""
        line: bytes = self._file.readline(limit)
        if not line.endswith(b"\n") and len(line) != limit:
            raise RemoteDisconnected("the connection ended in the middle of an answer's head")
        return line


class _Response(HTTPResponse):
    """http.client takes the end of a connection for the end of a head, and half a `Content-Length` for all of it."""

    def begin(self) -> None:
        """Reads the head."""
        file = self.fp
        self.fp = _WholeLines(file)  # type: ignore[assignment]  # the head is read by lines only
        try:
            super().begin()
        finally:
            self.fp = file


class _ConnectionMixin:
    sock: Any
    timeout: float | None
    response_class = _Response

    def _consume_headers(self, fp: Any) -> None:
        """Of `100 Continue`. botocore's own reads on for ever where the connection ends before an empty line."""
        super()._consume_headers(_WholeLines(fp))  # type: ignore[misc]  # of the connection that this is mixed into

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of the connection that this is mixed into
        for level, option, value in _KEEPALIVE:
            self.sock.setsockopt(level, option, value)
        self._wait_for_bytes()

    def request(self, *args: Any, **kwargs: Any) -> Any:
        if self.sock is not None:
            self._wait_for_bytes()
        return super().request(*args, **kwargs)  # type: ignore[misc]  # as above

    def _wait_for_bytes(self) -> None:
        """Connected: from here on it is bytes that are waited for, 128 KiB at a time on their way out."""
        self.timeout = _bytes_timeout()
        self.sock.settimeout(self.timeout)


# A connection that lies idle in the pool is not forgotten by whatever stands between, and a peer that vanished is
# noticed while it does. Idle after 30 s, three probes 10 s apart; the system's default is two hours.
_KEEPALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
if sys.platform == "linux":
    _KEEPALIVE += [
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    ]


class _HTTPConnection(_ConnectionMixin, AWSHTTPConnection):  # type: ignore[misc]  # as in the stubs of its base
    pass


class _HTTPSConnection(_ConnectionMixin, AWSHTTPSConnection):  # type: ignore[misc]  # as in the stubs of its base
    pass


class _HTTPPool(_PoolMixin, AWSHTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(_PoolMixin, AWSHTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
