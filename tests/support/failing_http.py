"""An S3 server that answers every request with 503, and counts them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_BODY = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>ServiceUnavailable</Code><Message>Please try again</Message><RequestId>1</RequestId></Error>"""


class FailingHttp:
    """Where it listens (`host:port`), and how many requests it has refused."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.address = f"127.0.0.1:{server.server_address[1]}"
        self._lock = threading.Lock()
        self._requests = 0

    @property
    def requests(self) -> int:
        """So far."""
        with self._lock:
            return self._requests

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[FailingHttp]:
        """Gone behind the block."""

        class Refuse(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def refuse(self) -> None:
                failing.count()
                left = int(self.headers.get("Content-Length") or 0)
                while left > 0 and (data := self.rfile.read(min(left, 65536))):
                    left -= len(data)
                with suppress(ConnectionError):  # who has asked may be gone, killed perhaps
                    self.answer()

            def answer(self) -> None:
                self.send_response(503)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(_BODY)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(_BODY)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = refuse

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
        server.daemon_threads = True
        failing = cls(server)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield failing
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def count(self) -> None:
        """One request more."""
        with self._lock:
            self._requests += 1
