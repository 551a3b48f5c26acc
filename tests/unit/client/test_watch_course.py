"""Where a watch goes on, and after how long; on a clock of the test's own."""

from __future__ import annotations

import pytest
from ledgerlift.v1 import document_pb2
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import upload_service_pb2 as uploads
from ledgerlift_client import errors
from ledgerlift_client._retry import Backoff, RetryState
from ledgerlift_client._watch_course import EventWatch, UploadWatch

from tests.support.clock import ManualClock


def state(clock: ManualClock, *, deadline: float | None = None) -> RetryState:
    """Retries that wait as long as they may."""
    return RetryState(
        Backoff(0.1, 1.0), deadline=deadline, patience=60.0, clock=clock, uniform=lambda low, high: high
    )


def silence() -> errors.DeadlineExceeded:
    """How a call ends that heard nothing."""
    return errors.DeadlineExceeded("over", retryable=True)


def test_the_next_call_begins_behind_the_last_entry_seen() -> None:
    """Its cursor is the one that is asked for."""
    watch = EventWatch("d", "c0", state(ManualClock()), "r")
    assert watch.request.cursor == "c0"
    watch.event(documents.WatchEventsResponse(event=document_pb2.Event(cursor="c7")))
    assert (watch.request.document_id, watch.request.cursor) == ("d", "c7")


def test_a_session_that_is_as_it_was_is_not_told_again() -> None:
    """Every call begins with the present state; a final one ends the watch."""

    def message(size: int, kind: uploads.UploadState) -> uploads.WatchUploadResponse:
        return uploads.WatchUploadResponse(upload=uploads.Upload(upload_id="u", persisted_size=size, state=kind))

    watch = UploadWatch("u", state(ManualClock()), "r")
    active, committed = uploads.UPLOAD_STATE_ACTIVE, uploads.UPLOAD_STATE_COMMITTED
    told = [
        watch.upload(message(size, kind)) is not None
        for size, kind in ((0, active), (0, active), (5, active), (5, active), (5, committed))
    ]
    assert told == [True, False, True, False, True]
    assert watch.over


def test_silence_to_the_deadline_is_no_failure_but_an_answer_of_it_at_once_is() -> None:
    """A quiet trail is asked again at once, for ever; what answers DEADLINE_EXCEEDED immediately gets pauses."""
    clock = ManualClock()
    watch = EventWatch("d", "", state(clock), "r")
    for _ in range(100):
        watch.began()
        clock.advance(3600.0)
        assert watch.failed(silence()) == 0.0
    watch.began()
    assert watch.failed(silence()) > 0


def test_a_watch_is_over_with_the_callers_time() -> None:
    """However quiet it was."""
    clock = ManualClock()
    watch = EventWatch("d", "", state(clock, deadline=clock() + 10.0), "r")
    watch.began()
    clock.advance(10.0)
    with pytest.raises(errors.DeadlineExceeded):
        watch.failed(silence())


def test_an_end_without_an_error_is_not_asked_again_without_a_pause() -> None:
    """And what will not pass is raised."""
    watch = EventWatch("d", "", state(ManualClock()), "r")
    watch.began()
    assert watch.ended() > 0
    with pytest.raises(errors.NotFound):
        watch.failed(errors.NotFound("no"))
