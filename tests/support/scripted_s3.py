"""A peer on the wire that misbehaves as it is told: what no real S3 server does when a test wants it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass(frozen=True, slots=True)
class Request:
    """What was received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. `before` runs when the request has been read, `cut` sends so many bytes of the body only.

    `slow` is how many seconds pass before the request's body is read.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    cut: int | None = None
    slow: float = 0.0
    hang_up: bool = False
    """Close the connection instead of answering."""

    @property
    def code(self) -> str:
        """The error's name."""
        return self.body.partition(b"<Code>")[2].partition(b"<")[0].decode()


def failure(status: int, code: str) -> Answer:
    """An error as S3 words it."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode())


class ScriptedS3:
    """Answers in the order of its script; the last answer is repeated."""

    def __init__(self) -> None:
        """Running, with nothing but 200 to say."""
        self.script: list[Answer] = [Answer()]
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def answer(self) -> None:
                answer = scripted._next()
                time.sleep(answer.slow)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                scripted.requests.append(Request(self.command, self.path, dict(self.headers), body))
                answer.before()
                if answer.hang_up:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.cut])
                self.close_connection = answer.cut is not None

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                """Not to stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self) -> Answer:
        with self._lock:
            return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@pytest.fixture
def scripted_s3() -> Iterator[ScriptedS3]:
    """One that says 200 until it is told otherwise."""
    server = ScriptedS3()
    yield server
    server.close()


@contextmanager
def black_hole(*, accepts: bool) -> Iterator[str]:
    """URL of an endpoint from which nothing comes back: connections are taken by the kernel, or not even that."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16 if accepts else 0)
        address = listener.getsockname()
        fillers: list[socket.socket] = []
        try:
            while not accepts:  # until the queue is full and the kernel drops what comes
                filler = socket.socket()
                fillers.append(filler)
                filler.settimeout(0.2)
                try:
                    filler.connect(address)
                except TimeoutError:
                    break
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for filler in fillers:
                filler.close()
