"""What a server of this process logs, as an operator's collector reads it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from ledgerlift_server.observability import logs

Entries = Callable[[], list[dict[str, Any]]]
"""The entries written so far."""


@pytest.fixture
def log() -> Iterator[Entries]:
    """Logging configured as `serve` does it, at DEBUG and as JSON; undone afterwards."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logs.QUIET)]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers[:]
    written = io.StringIO()
    logs.configure("DEBUG", "json", written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logging.captureWarnings(False)
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def _levels_are_left_as_they_were() -> Iterator[None]:
    """A test that made loggers quiet would take from later ones what these look for."""
    loggers = [logging.getLogger(name) for name in ("", "ledgerlift_server", "ledgerlift_client")]
    before = [logging.root.manager.disable, *(logger.level for logger in loggers)]
    yield
    assert [logging.root.manager.disable, *(logger.level for logger in loggers)] == before


class _Ear(logging.Handler):
    def __init__(self, event: str, heard: asyncio.Event) -> None:
        super().__init__()
        self._event, self._heard, self._loop = event, heard, asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """On whatever thread."""
        if record.msg == self._event:
            self._loop.call_soon_threadsafe(self._heard.set)


@contextmanager
def listening_for(event: str) -> Iterator[asyncio.Event]:
    """Set once this event has been logged by anybody in this process."""
    heard = asyncio.Event()
    ear = _Ear(event, heard)
    logging.getLogger().addHandler(ear)
    try:
        yield heard
    finally:
        logging.getLogger().removeHandler(ear)
