"""A server that runs: where it listens, what it says of its health, and how it ends without an error."""

from __future__ import annotations

import asyncio
import logging

import grpc

from ledgerlift_server.core import CannotStart
from ledgerlift_server.domain.upload_entry import UploadEntry
from ledgerlift_server.health.board import HealthBoard
from ledgerlift_server.interceptors.lifecycle import Lifecycle

logger = logging.getLogger(__name__)


class RunningServer:
    """Made by `app.serving`, which owns its parts."""

    def __init__(
        self,
        server: grpc.aio.Server,
        board: HealthBoard,
        lifecycle: Lifecycle,
        entry: UploadEntry,
        host: str,
    ) -> None:
        """`board` is what health answers from."""
        self._server = server
        self._board = board
        self._lifecycle = lifecycle
        self._entry = entry
        self._host = f"[{host}]" if ":" in host else host
        self._draining = False
        self._ended: asyncio.Task[bool] | None = None
        self.port = 0
        self.metrics_address: str | None = None
        """`host:port` as bound; None where metrics are off."""

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        return f"{self._host}:{self.port}"

    async def listen(self, port: int, credentials: grpc.ServerCredentials | None) -> None:
        """Bind (port 0: a free one; credentials None: plaintext) and answer NOT_SERVING. Raises CannotStart."""
        address = f"{self._host}:{port}"
        try:
            self.port = (
                self._server.add_insecure_port(address)
                if credentials is None
                else self._server.add_secure_port(address, credentials)
            )
        except RuntimeError as refused:
            raise CannotStart(f"cannot listen on {address}: is it taken, or not of this machine?") from refused
        await self._server.start()
        logger.info("listening", extra={"address": self.address, "tls": credentials is not None})
        # A task that is never cancelled: grpc.aio hands out the future that its own shutdown waits for, and a
        # cancelled `wait_for_termination()` would cancel that.
        self._ended = asyncio.create_task(self._server.wait_for_termination())

    def open(self) -> None:
        """Start-up is done: let everybody in and say so."""
        self._lifecycle.open()
        self._board.open()

    async def drain(self) -> None:
        """Say NOT_SERVING, end running uploads with what is durable, end watches, refuse new ones of both.

        Returns at once; short calls are still answered. Idempotent.
        """
        if self._draining:
            return
        self._draining = True
        logger.info("draining", extra={"uploads": self._entry.running})
        self._board.drain()
        self._entry.drain()
        self._lifecycle.drain()

    async def stop(self, grace: float) -> None:
        """Drain, close the port, and give running calls `grace` seconds to end. Idempotent."""
        await self.drain()
        await self._server.stop(grace)

    async def drained(self, delay: float, grace: float) -> None:
        """Drain, stay reachable for `delay` seconds, so that load balancers can take notice, then stop."""
        await self.drain()
        await asyncio.sleep(delay)
        await self.stop(grace)

    async def wait(self) -> None:
        """Until the server has ended, whoever ended it."""
        assert self._ended is not None, "listen() comes first"
        await asyncio.shield(self._ended)
