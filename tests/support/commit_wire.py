"""A connection to PostgreSQL that breaks between a COMMIT and its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from tests.support.cut_wire import CHUNK, CutWire

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""As a simple query on the wire: type, length, text."""


class Cut(Enum):
    """What becomes of the COMMIT before its client sees the connection break."""

    DELIVERED = "the server answers it, and nobody hears that"
    SWALLOWED = "the server sees the connection break instead"
    HALF_OPEN = "neither the COMMIT nor the end of the connection reaches the server, unless it is delivered late"


class CommitWire(CutWire):
    """Forwards everything, and breaks the connection at the next COMMIT after `arm`."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._armed: Cut | None = None
        self._of = b""
        self._meanwhile: Callable[[], object] = lambda: None
        self._deaf: set[socket.socket] = set()
        self._answered = threading.Event()
        self._late: list[tuple[socket.socket, bytes]] = []

    def arm(self, cut: Cut, meanwhile: Callable[[], object] = lambda: None, *, of: bytes = b"") -> None:
        """`meanwhile` runs before the client sees anything. `of` stands in a statement of the transaction meant."""
        self._answered.clear()
        self._of = of
        self._armed, self._meanwhile = cut, meanwhile

    def deliver_late(self) -> None:
        """What was half open reaches the server after all. Return once it has answered, or hung up."""
        while self._late:
            server, data = self._late.pop()
            with suppress(OSError):
                server.sendall(data)
                assert self._answered.wait(30)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        meant = False
        with suppress(OSError):
            while data := client.recv(CHUNK):
                meant = self._armed is not None and (meant or self._of in data)
                if self._armed is not None and meant and data == COMMIT:
                    cut, self._armed = self._armed, None
                    self._break(cut, client, server, data)
                    return
                server.sendall(data)
        self.cut_pair(client, server)

    def _break(self, cut: Cut, client: socket.socket, server: socket.socket, data: bytes) -> None:
        self.cuts += 1
        self._deaf.add(server)
        match cut:
            case Cut.DELIVERED:
                server.sendall(data)
                assert self._answered.wait(30)
            case Cut.SWALLOWED:
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                assert self._answered.wait(30)
            case Cut.HALF_OPEN:
                self._late.append((server, data))
        self._meanwhile()
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if source in self._deaf:
                    self._answered.set()
                    continue
                sink.sendall(data)
        if source in self._deaf:
            self._answered.set()
        else:
            self.cut_pair(source, sink)
