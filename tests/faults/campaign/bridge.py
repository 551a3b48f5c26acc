"""The asyncio client with the face of the blocking one, for callers that are threads.

All such clients are on the campaign's own loop, as the coroutines of one program are.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ledgerlift_client import AsyncLedgerLiftClient, ClientOptions


class Bridge:
    """Coroutines of an `AsyncLedgerLiftClient`, as calls that block."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop, options: ClientOptions) -> None:
        """`loop` runs, in another thread than those that call."""
        self._client = AsyncLedgerLiftClient(target, options=options)
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *given, **named: self._run(method(*given, **named))

    def close(self) -> None:
        """Close the client."""
        self._run(self._client.close())

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
