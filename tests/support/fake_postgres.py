"""What stands where PostgreSQL should: it takes connections and closes them, or says nothing."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class RefusingServer:
    """Counts the connections that are made to it. Use as a context manager."""

    def __init__(self, *, silent: bool = False) -> None:
        """`silent`: connections are kept open, and never a word."""
        self._silent = silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://nobody@127.0.0.1:{self._listener.getsockname()[1]}/none"
        self.connections = 0
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> RefusingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._thread.join(10)
        for one in self._kept:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1  # before the client can hear of it
            if self._silent:
                self._kept.append(client)
            else:
                client.close()
