"""A network that resets some connections and is slow on others: it stands between a client and a server, and knows
nothing of what passes through. What becomes of each connection is decided when it is made.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

CHUNK = 128 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: what has not been sent is thrown away, and the other side is told with an RST."""
_START_TIMEOUT = 10.0


@dataclass(slots=True)
class Fate:
    """What becomes of one connection: it is reset once `reset_after` bytes have passed, both ways together; whatever
    comes back waits for `delay` seconds."""

    reset_after: int | None = None
    delay: float = 0.0


@dataclass(slots=True)
class Traffic:
    """What the wire has seen. `sent` are bytes from clients, those that a reset has swallowed included."""

    connections: int = 0
    resets: int = 0
    delayed: int = 0
    refused: int = 0
    sent: int = 0


class _ResetNow(Exception):
    """This connection has had its bytes."""


class UnreliableWire:
    """Forwards every connection to `target` (`host:port`). A context manager; `address` is where it listens.

    `fate` is asked for each connection, on the wire's own thread.
    """

    def __init__(self, target: str, fate: Callable[[], Fate]) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._fate = fate
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.traffic = Traffic()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="unreliable-wire", daemon=True)
        self._accepting: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(_START_TIMEOUT)
        self._listener.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._main())

    async def _main(self) -> None:
        self._accepting = asyncio.ensure_future(self._accept())
        await self._accepting

    def _stop(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()

    async def _accept(self) -> None:
        async with asyncio.TaskGroup() as running:
            while True:
                client, _ = await self._loop.sock_accept(self._listener)
                running.create_task(self._connection(client))

    async def _connection(self, client: socket.socket) -> None:
        fate = self._fate()
        self.traffic.connections += 1
        self.traffic.delayed += fate.delay > 0
        server = socket.socket()
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await self._loop.sock_connect(server, self._target)
            except OSError:
                self.traffic.refused += 1
                raise
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(client, server, fate, back=False))
                both.create_task(self._pump(server, client, fate, back=True))
        except* _ResetNow:
            self.traffic.resets += 1
        except* OSError:
            pass  # one side is gone, and the other is to notice
        finally:
            for end in (client, server):
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                end.close()

    async def _pump(self, source: socket.socket, sink: socket.socket, fate: Fate, *, back: bool) -> None:
        buffer = memoryview(bytearray(CHUNK))
        while size := await self._loop.sock_recv_into(source, buffer):
            if not back:
                self.traffic.sent += size
            if fate.reset_after is not None:
                if size >= fate.reset_after:
                    await self._loop.sock_sendall(sink, buffer[: fate.reset_after])
                    raise _ResetNow
                fate.reset_after -= size
            if back and fate.delay:
                await asyncio.sleep(fate.delay)
            await self._loop.sock_sendall(sink, buffer[:size])
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
