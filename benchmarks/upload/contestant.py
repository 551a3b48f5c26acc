"""What the harness asks of whoever takes part."""

from __future__ import annotations

from typing import Protocol

import psutil

from benchmarks.upload.payload import Payload


class Contestant(Protocol):
    """One way to send a document to a server that is running already."""

    name: str
    durability: str
    """What has happened to the bytes when `send` returns, in half a sentence."""
    server: psutil.Process | None
    """The process whose processor time is counted; None where there is no server of the contestant's own."""

    async def send(self, payload: Payload) -> None:
        """Send all of `payload` and wait for the answer. Raises when the answer is not that all of it arrived."""

    async def tidy(self) -> None:
        """Remove what the last `send` has stored. Not timed."""
