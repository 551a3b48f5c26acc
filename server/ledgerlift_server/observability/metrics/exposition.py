"""Metrics over HTTP, on threads of their own: the event loop neither serves a scrape nor waits for one.

Not the library's `start_http_server`: it starts a thread for every connection and waits for ever for each of them to
say something, and its end leaves the port taken (prometheus/client_python#1068).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

logger = logging.getLogger(__name__)

PATH = "/metrics"
MAX_CONNECTIONS = 8
"""At once; one more is closed unanswered. Two Prometheus servers and somebody with curl need three."""
TIME_LIMIT = 10.0
"""Seconds for one connection from its beginning to its end: Prometheus itself gives up after as many."""
POLL_INTERVAL = 0.25
"""Seconds between two looks at who is over the limit, and at whether it is all to end."""


@asynccontextmanager
async def exposed(
    registry: CollectorRegistry, host: str, port: int, *, time_limit: float = TIME_LIMIT
) -> AsyncIterator[str]:
    """Serve `registry` during the block, at the address that it is given. Raises OSError where that cannot be.

    `host` without brackets; port 0: a free one.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    server = _Server(family, address[:2], registry, time_limit)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_INTERVAL,), name="metrics", daemon=True)
    thread.start()
    try:
        bound_host, bound_port = str(server.server_address[0]), server.server_address[1]
        yield f"[{bound_host}]:{bound_port}" if ":" in bound_host else f"{bound_host}:{bound_port}"
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Server(ThreadingMixIn, TCPServer):
    # TCPServer and not HTTPServer, which asks the DNS for this machine's name before it listens.
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True  # a restart need not wait for connections of the former life

    def __init__(self, family: int, address: tuple[Any, ...], registry: CollectorRegistry, time_limit: float) -> None:
        self.address_family = family
        self.registry = registry
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, _Scrape)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                return False
            self._open[request] = time.monotonic() + self._time_limit
            return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        now = time.monotonic()
        with self._lock:
            for connection, until in self._open.items():
                if until <= now:
                    with suppress(OSError):  # it ends by itself at this moment
                        connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("scrape_broken_off", exc_info=True)  # whoever asked has left, or was too slow


class _Scrape(BaseHTTPRequestHandler):
    """One request; then the connection ends (HTTP/1.0)."""

    server: _Server
    server_version = "ledgerlift"
    sys_version = ""

    def do_GET(self) -> None:
        """Every metric, in the format that is asked for."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, explain=f"metrics are at {PATH}")
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        try:
            body = encode(self.server.registry)
        except Exception:
            logger.exception("scrape_failed")
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain="see the server's log")
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))  # or half of it would look like all of it
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""
