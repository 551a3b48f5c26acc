"""A gRPC client that takes nothing: its HTTP/2 window for what a call answers is 0 bytes, until it opens it.

Such a client holds whatever waits for its message to be sent. No gRPC library offers that, so the frames are made
here (RFC 9113), the headers without compression (RFC 7541, 6.2.2).
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4


class ShutWindow:
    """One call with one message; its answer's headers arrive, and not a byte of its messages."""

    def __init__(self, address: str, method: str, message: bytes) -> None:
        """`method` is the path on the wire, `/package.Service/Method`."""
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30)
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": address,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        self._socket.sendall(
            PREFACE
            + _frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
            + _frame(HEADERS, END_HEADERS, 1, b"".join(_literal(*header) for header in headers.items()))
            + _frame(DATA, END_STREAM, 1, b"\0" + struct.pack(">I", len(message)) + message)
        )

    def __enter__(self) -> ShutWindow:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def until_answered(self) -> None:
        """Return once the headers of the answer are here: its first message is on its way, and stuck."""
        while True:
            kind, flags, stream = self._next_frame()
            if kind == SETTINGS and not flags & ACK:
                self._socket.sendall(_frame(SETTINGS, ACK, 0, b""))
            if (kind, stream) == (HEADERS, 1):
                return
            assert (kind, stream) != (DATA, 1), "the window is not shut"

    def open(self) -> None:
        """Take messages from now on."""
        self._socket.sendall(_frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 65_535)))

    def until_trailers(self) -> None:
        """Return once the call has its status. Raises TimeoutError."""
        while True:
            kind, flags, stream = self._next_frame()
            if (kind, stream) == (HEADERS, 1) and flags & END_STREAM:
                return

    def _next_frame(self) -> tuple[int, int, int]:
        head = self._read(9)
        self._read(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:9], "big")

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            assert more, "the server has hung up"
            data += more
        return data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name: str, value: str) -> bytes:
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
