"""A name that stands for several addresses: a DNS server of a test's own, for gRPC's resolver and for nobody else."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

A, IN = 1, 1
RESPONSE, AUTHORITATIVE, RECURSION = 0x8000, 0x0400, 0x0100
NO_SUCH_NAME = 3


class NameServer:
    """Answers questions for one name, over UDP on a free port of loopback; `addresses` may change at any time."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        """Questions so far, of any kind."""
        self._name = name.lower()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @classmethod
    @contextmanager
    def running(cls, name: str, addresses: Sequence[str]) -> Iterator[NameServer]:
        """Gone behind the block."""
        server = cls(name, addresses)
        server._thread.start()
        try:
            yield server
        finally:
            server._socket.sendto(b"", server._socket.getsockname())  # closing alone wakes nobody
            server._thread.join(10)
            server._socket.close()

    def target(self, port: int) -> str:
        """What a gRPC client is given: ask this server for our name."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/{self._name}:{port}"

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if not question:
                return
            self.asked += 1
            self._socket.sendto(self._answer(question), sender)

    def _answer(self, question: bytes) -> bytes:
        """RFC 1035, of what we need: one question, A records; the name is empty for any other type."""
        number, flags = struct.unpack_from("!HH", question)
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace"))
            at += 1 + length
        kind, _ = struct.unpack_from("!HH", question, at + 1)
        ours = ".".join(labels).lower() == self._name
        found = self.addresses if ours and kind == A else []
        flags = RESPONSE | AUTHORITATIVE | (flags & RECURSION) | (0 if ours else NO_SUCH_NAME)
        answer = struct.pack("!HHHHHH", number, flags, 1, len(found), 0, 0) + question[12 : at + 5]
        for address in found:
            # 0xC00C: the name stands at byte 12. A time to live of zero: ask again.
            answer += struct.pack("!HHHIH", 0xC00C, A, IN, 0, 4) + socket.inet_aton(address)
        return answer
