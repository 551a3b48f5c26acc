"""What a transfer tells while it runs: typed events, throttled; sans I/O, the clock is handed in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from ledgerlift_client._models import Document, UploadResult
from ledgerlift_client._progress import Meter, Progress
from ledgerlift_client.errors import LedgerLiftError


@dataclass(frozen=True, slots=True)
class Started:
    """The transfer begins. `total` bytes, None for a source of unknown size or before a download's first answer."""

    name: str
    total: int | None
    request_id: str


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """Where it stands, at most every `ClientOptions.progress_interval`."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class Retrying:
    """A call failed and is made again in `seconds`; `attempts` have been made."""

    error: LedgerLiftError
    seconds: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """It goes on at byte `offset`, after a break or where an earlier process ended. `upload_id` None: a download."""

    offset: int
    upload_id: str | None


@dataclass(frozen=True, slots=True)
class DuplicateFound:
    """The bytes were there already, as this document; nothing new is stored."""

    document: Document


@dataclass(frozen=True, slots=True)
class Finished:
    """It is done: everything is durable, or written and verified."""

    result: UploadResult | Document


@dataclass(frozen=True, slots=True)
class Failed:
    """It is over, and this is raised: a LedgerLiftError, or what the source, the file or the caller raised."""

    error: BaseException


TransferEvent: TypeAlias = Started | ProgressMade | Retrying | Resumed | DuplicateFound | Finished | Failed
"""`Started` comes first; then any of the others; one `Finished` or `Failed` comes last."""


class Reporter:
    """Tells one transfer's story. `progress` hears of every message, `on_event` of events as they are worth it.

    Both run on the thread (or loop) of the transfer, and what they raise ends it.
    """

    def __init__(
        self,
        total: int | None,
        *,
        progress: Callable[[Progress], None] | None,
        on_event: Callable[[TransferEvent], None] | None,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval`: least seconds between two ProgressMade; the first and the last come in any case."""
        self.meter = Meter(total, clock=clock)
        self._progress = progress
        self._on_event = on_event
        self._interval = interval
        self._clock = clock
        self._next = 0.0
        self._untold: Progress | None = None
        self._over = False

    def started(self, name: str, request_id: str) -> None:
        """It begins."""
        self._tell(Started(name, self.meter.total, request_id))

    def moved(self) -> None:
        """The meter has changed."""
        if self._progress is None and self._on_event is None:
            return
        now = self.meter.progress()
        if self._progress is not None:
            self._progress(now)
        if self._on_event is None:
            return
        if self._clock() < self._next:
            self._untold = now
            return
        self._next, self._untold = self._clock() + self._interval, None
        self._on_event(ProgressMade(now))

    def retrying(self, error: LedgerLiftError, seconds: float, attempts: int) -> None:
        """A failed call is made again."""
        self._tell(Retrying(error, seconds, attempts))

    def resumed(self, offset: int, upload_id: str | None) -> None:
        """It goes on at `offset`."""
        self._tell(Resumed(offset, upload_id))

    def finished(self, result: UploadResult | Document) -> None:
        """It is done."""
        self._last_progress()
        if isinstance(result, UploadResult) and result.duplicate:
            self._tell(DuplicateFound(result.document))
        self._over = True
        self._tell(Finished(result))

    def failed(self, error: BaseException) -> None:
        """It is over without a result; after `finished` it says nothing. What the callback raises is not heard:
        the failure itself goes to the caller."""
        if self._over or self._on_event is None:
            return
        self._over = True
        try:
            self._last_progress()
            self._on_event(Failed(error))
        except Exception as unheard:
            error.add_note(f"on_event raised {unheard!r} when it was told")

    def _last_progress(self) -> None:
        if self._untold is not None:
            untold, self._untold = self._untold, None
            self._tell(ProgressMade(untold))

    def _tell(self, event: TransferEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)


@contextmanager
def telling(reporter: Reporter) -> Iterator[None]:
    """Tell what ends the block, if it is not its result."""
    try:
        yield
    except BaseException as error:
        reporter.failed(error)
        raise
