"""What a transfer tells, how often, and how it is cancelled."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from ledgerlift_client import (
    CancelToken,
    Document,
    DuplicateFound,
    Failed,
    Finished,
    ProcessingStatus,
    ProgressMade,
    Receipt,
    Resumed,
    Retrying,
    Started,
    TransferEvent,
    UploadResult,
    errors,
)
from ledgerlift_client._transfer_events import Reporter, telling

from tests.support.clock import ManualClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DOCUMENT = Document("d", "a", "t/t", 100, "", "", "", {}, ProcessingStatus.UPLOADED, "", NOON, NOON)


def result(*, duplicate: bool = False) -> UploadResult:
    """A result."""
    return UploadResult(DOCUMENT, duplicate, Receipt(), "u", "r", 0, 1)


class Story:
    """A reporter with a clock, and what it told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.events: list[TransferEvent] = []
        self.every: list[int] = []
        self.it = Reporter(
            100,
            progress=lambda now: self.every.append(now.position),
            on_event=self.events.append,
            interval=10 / 64,
            clock=self.clock,
        )

    def moved(self, *positions: int, seconds: float = 1 / 64) -> None:
        """Messages, 64 in a second."""
        for position in positions:
            self.it.meter.moved(position)
            self.it.moved()
            self.clock.advance(seconds)

    @property
    def positions(self) -> list[int]:
        """Those that were told as events."""
        return [event.progress.position for event in self.events if isinstance(event, ProgressMade)]


def test_progress_is_told_once_in_its_interval_and_the_first_and_last_always() -> None:
    """`progress` hears of every message; an event that nobody heard yet comes before the end."""
    story = Story()
    story.it.started("a", "r")
    story.moved(*range(1, 36))
    story.it.finished(result())
    assert story.positions == [1, 11, 21, 31, 35]
    assert story.every == list(range(1, 36))
    assert story.events[0] == Started("a", 100, "r")
    assert story.events[-1] == Finished(result())


def test_every_turn_of_a_transfer_has_its_event() -> None:
    """In the order in which they happen."""
    story = Story()
    failed = errors.Unavailable("down")
    story.it.started("a", "r")
    story.it.retrying(failed, 0.5, 1)
    story.it.resumed(64, "u")
    story.it.finished(result(duplicate=True))
    assert story.events[1:] == [
        Retrying(failed, 0.5, 1),
        Resumed(64, "u"),
        DuplicateFound(DOCUMENT),
        Finished(result(duplicate=True)),
    ]


def test_a_failure_is_the_last_word_and_told_once() -> None:
    """What ends the block is told; nothing is told behind the end, and the exception goes on."""
    story = Story()
    story.moved(1, 2)
    with pytest.raises(KeyboardInterrupt), telling(story.it):
        raise KeyboardInterrupt
    assert story.positions == [1, 2]
    assert isinstance(story.events[-1], Failed)
    assert isinstance(story.events[-1].error, KeyboardInterrupt)
    story.it.failed(ValueError("again"))
    assert sum(isinstance(event, Failed) for event in story.events) == 1


def test_a_callback_that_fails_hides_no_failure() -> None:
    """The caller gets what happened, with a note on what the callback raised."""

    def on_event(event: TransferEvent) -> None:
        raise ZeroDivisionError("in the callback")

    reporter = Reporter(1, progress=None, on_event=on_event, interval=0.1)
    with pytest.raises(errors.Unavailable) as raised, telling(reporter):
        raise errors.Unavailable("down")
    assert "ZeroDivisionError" in raised.value.__notes__[0]


def test_a_token_wakes_who_waits_and_calls_what_runs() -> None:
    """At once, from another thread; and what registers later is called at once."""
    token = CancelToken()
    called: list[str] = []
    assert not token.wait(0)
    token.check()
    with token.calling(lambda: called.append("gone")):
        pass
    woken: list[bool] = []
    waiting = threading.Thread(target=lambda: woken.append(token.wait(60)))
    waiting.start()
    with token.calling(lambda: called.append("running")):
        token.cancel()
        token.cancel()
    with token.calling(lambda: called.append("late")):
        pass
    waiting.join(10)
    assert (called, woken, token.cancelled) == (["running", "late"], [True], True)
    with pytest.raises(errors.Cancelled):
        token.check()
