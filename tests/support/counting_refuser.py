"""A PostgreSQL that takes every connection, hears who it is, and closes; and counts: a database that is down."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ENCRYPTION_REQUESTS = (80877103, 80877104)
"""SSLRequest and GSSENCRequest: they are answered with No, and the same connection goes on in the clear. A connection
that is closed instead is made once more by libpq itself (`sslmode=prefer`), and would count twice."""
_NO = b"N"


class CountingRefuser:
    """`address` is where it listens (`host:port`), `sessions` how often one was asked for."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.sessions = 0
        self._listener = listener

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[CountingRefuser]:
        """Gone behind the block."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            refuser = cls(listener)
            thread = threading.Thread(target=refuser._run, daemon=True)
            thread.start()
            yield refuser
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            thread.join(10)

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self._refuse(connection)

    def _refuse(self, connection: socket.socket) -> None:
        connection.settimeout(5.0)
        while head := connection.recv(8, socket.MSG_WAITALL):
            if int.from_bytes(head[4:8], "big") not in _ENCRYPTION_REQUESTS:
                self.sessions += 1
                return
            connection.sendall(_NO)
