"""A TCP connection of limited speed that counts: it stands between a client and a server, to be watched."""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import suppress
from typing import Self

_PIECE = 16 * 1024


class SlowWire:
    """Forwards every connection to `target`, in one direction at `rate` bytes a second. A context manager.

    `down`: what comes from the server is slow, else what goes to it. `sent` counts the bytes that went to it.
    """

    def __init__(self, target: str, *, rate: float = math.inf, down: bool = False) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._rate = rate
        self.sent = 0
        self._down = down
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._over = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._threads[0].join(10)
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads[1:]:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            # A small buffer: what waits in it has left the client and would count as moved.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * _PIECE)
            server = socket.create_connection(self._target, timeout=10)
            server.settimeout(None)
            self._sockets += [client, server]
            for source, sink, up in ((client, server, True), (server, client, False)):
                pump = threading.Thread(target=self._pump, args=(source, sink, up), daemon=True)
                self._threads.append(pump)
                pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        began, carried, slow = time.monotonic(), 0, up is not self._down
        with suppress(OSError):
            while data := source.recv(_PIECE):
                sink.sendall(data)
                carried += len(data)
                if up:
                    self.sent += len(data)
                late = began + carried / self._rate - time.monotonic()
                if slow and late > 0 and self._over.wait(late):
                    break
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
