"""What an upload does next, decided without I/O; and a simulation of a server that breaks at every turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgerlift_client import errors
from ledgerlift_client._models import (
    Document,
    ProcessingStatus,
    Receipt,
    StopReason,
    Upload,
    UploadAnswer,
    UploadSpec,
    UploadState,
)
from ledgerlift_client._retry import Backoff, RetryState
from ledgerlift_client._upload_course import (
    FOLLOW_POLL,
    TAKE_OVER_AFTER,
    Ask,
    Done,
    Hear,
    Open,
    SegmentRule,
    Send,
    UploadCourse,
    Wait,
)

from tests.support.clock import ManualClock

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DOCUMENT = Document("d", "a", "t/t", 1, "", "", "", {}, ProcessingStatus.UPLOADED, "", NOON, NOON)
PART = 10


def session(
    persisted: int = 0,
    state: UploadState = UploadState.ACTIVE,
    *,
    segment: int = 50,
    part: int = PART,
    later: int = 0,
) -> Upload:
    """An upload session `u`; `later` moves its update time."""
    changed = NOON + timedelta(seconds=later)
    return Upload("u", state, UploadSpec("a", "t/t"), persisted, part, segment, "", NOON, changed, NOON, "")


def partial(persisted: int, why: StopReason = StopReason.SEGMENT_END) -> UploadAnswer:
    """An answer without a document."""
    return UploadAnswer(None, session(persisted), why, False, Receipt())


COMMITTED = UploadAnswer(DOCUMENT, None, StopReason.NONE, False, Receipt(bytes_received=1))


class Course:
    """A course with a clock and without luck, and the steps that it takes."""

    def __init__(
        self,
        size: int | None,
        *,
        segment: int = 50,
        replay: int | None = None,
        upload_id: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.retry = RetryState(
            Backoff(0.1, 1.0),
            deadline=None if timeout is None else self.clock() + timeout,
            max_attempts=3,
            patience=120.0,
            clock=self.clock,
            uniform=lambda low, high: high,
        )
        self.it = UploadCourse(SegmentRule(size, segment, replay), self.retry, upload_id=upload_id)

    def wait(self) -> float:
        """Carry a Wait out."""
        step = self.it.step
        assert isinstance(step, Wait)
        self.clock.advance(step.seconds)
        self.it.waited()
        return step.seconds


def unavailable(**more: object) -> errors.Unavailable:
    """A failure that may pass."""
    return errors.Unavailable("down", retryable=True, **more)  # type: ignore[arg-type]  # keywords of the constructor


def test_a_small_document_is_one_call() -> None:
    """No session call for what fits into one segment."""
    course = Course(50)
    assert course.it.step == Send(None, 0, None)
    course.it.answered(COMMITTED, position=50, upload_id="u")
    assert course.it.step == Done(DOCUMENT, False, Receipt(bytes_received=1))
    assert (course.it.upload_id, course.it.attempts) == ("u", 1)


def test_a_small_document_that_may_be_there_in_part_is_asked_for_first() -> None:
    """With a request id of the caller's, only what is missing is sent."""
    clock = ManualClock()
    it = UploadCourse(SegmentRule(50, 50), RetryState(Backoff(0.1, 1.0), clock=clock), ask_first=True)
    assert it.step == Open()
    it.opened(session(20), None, False)
    assert it.step == Hear("u")  # the process before this one may have died a moment ago
    it.answered(partial(30), position=0, upload_id="u")
    assert it.step == Send("u", 30, 50)


def test_a_large_document_is_opened_and_sent_in_whole_parts() -> None:
    """The server's segment size counts where it is smaller; segments end at a part's end."""
    course = Course(100, segment=64)
    assert course.it.step == Open()
    course.it.opened(session(segment=64), None, False)
    assert course.it.step == Send("u", 0, 60)
    course.it.answered(partial(60), position=60, upload_id="u")
    assert course.it.step == Send("u", 60, 50)


def test_a_part_larger_than_the_segment_is_sent_whole() -> None:
    """Less than a part would be lost at the segment's end, for ever."""
    course = Course(None, segment=50, replay=20)
    course.it.opened(session(part=80, segment=80), None, False)
    assert course.it.step == Send("u", 0, 80)


def test_a_document_of_unknown_size_is_cut_to_the_replay_buffer() -> None:
    """A source that cannot seek can repeat only what it keeps."""
    course = Course(None, segment=50, replay=25)
    course.it.opened(session(), None, False)
    assert course.it.step == Send("u", 0, 20)


def test_a_duplicate_is_answered_before_a_byte_is_sent() -> None:
    """CreateUpload may come back with the document."""
    course = Course(100)
    course.it.opened(session(0, UploadState.COMMITTED), DOCUMENT, True)
    assert course.it.step == Done(DOCUMENT, True, Receipt())


def test_a_broken_call_goes_on_from_what_is_durable_once_its_parts_have_settled() -> None:
    """The session is taken by a message without bytes: what is durable behind that is what is missing."""
    course = Course(50)
    course.it.failed(unavailable(), upload_id="u")
    assert course.wait() == pytest.approx(0.1)
    assert course.it.step == Hear("u")
    course.it.answered(partial(30), position=0, upload_id="u")
    assert course.it.step == Send("u", 30, 50)
    assert course.it.attempts == 2


def test_a_session_that_was_broken_twice_is_heard_of_twice() -> None:
    """Also where hearing of it broke; a failure that was no call of ours in between changes nothing."""
    course = Course(50)
    course.it.failed(unavailable(), upload_id="u")
    course.wait()
    course.it.failed(unavailable())
    course.wait()
    assert course.it.step == Hear("u")
    course.it.answered(partial(0), position=0, upload_id="u")
    assert course.it.step == Send("u", 0, 50)
    course.it.failed(unavailable())
    course.wait()
    assert course.it.step == Hear("u")


def test_a_call_that_broke_before_its_session_was_known_asks_by_request_id() -> None:
    """CreateUpload with the same spec finds the session, if there is one."""
    course = Course(50)
    course.it.failed(unavailable())
    course.wait()
    assert course.it.step == Open()


def test_a_lost_answer_is_found_again() -> None:
    """The call broke after the commit: the first message alone is answered with the document and its receipt."""
    course = Course(50)
    course.it.failed(errors.ServerError("rst", retryable=True), upload_id="u")
    course.wait()
    assert course.it.step == Hear("u")
    course.it.answered(COMMITTED, position=0, upload_id="u")
    assert isinstance(course.it.step, Done)


def test_a_refusal_is_raised_with_what_is_known() -> None:
    """What cannot pass is raised at once, and says which session it was."""
    course = Course(50)
    with pytest.raises(errors.ContentTypeMismatch) as raised:
        course.it.failed(errors.ContentTypeMismatch("no pdf"), upload_id="u")
    assert raised.value.upload_id == "u"


def test_a_message_damaged_on_the_way_is_sent_again() -> None:
    """A wrong CRC leaves the session ACTIVE."""
    course = Course(50)
    course.it.failed(errors.ChecksumMismatch("crc"), upload_id="u")
    course.wait()
    course.it.answered(partial(20), position=0, upload_id="u")
    assert course.it.step == Send("u", 20, 50)


def test_a_wrong_digest_is_raised_as_the_server_recorded_it() -> None:
    """A FAILED session is asked for its reason by the first message alone."""
    course = Course(50)
    course.it.failed(errors.ChecksumMismatch("sha"), upload_id="u")
    course.wait()
    assert course.it.step == Hear("u")
    with pytest.raises(errors.ChecksumMismatch):
        course.it.failed(errors.ChecksumMismatch("sha"))


def test_a_drained_segment_goes_on_at_once_when_it_moved() -> None:
    """A rolling restart costs no attempt."""
    course = Course(100)
    course.it.opened(session(), None, False)
    course.it.answered(partial(20, StopReason.DRAINING), position=35, upload_id="u")
    assert course.it.step == Send("u", 20, 50)
    assert course.it.attempts == 1


def draining() -> errors.Draining:
    """What a server says that takes no new streams."""
    return errors.Draining("going away", reason="DRAINING", retry_after=0.2, retryable=True)


@pytest.mark.parametrize("size", [50, 100])
def test_a_call_that_a_draining_server_refused_goes_to_the_next_one(size: int) -> None:
    """With two replicas in turn, a question in between would lead it back to the same, every time."""
    course = Course(size)
    if size > 50:
        course.it.opened(session(), None, False)
    refused = course.it.step
    assert isinstance(refused, Send)
    course.it.failed(draining())
    course.wait()
    assert course.it.step == refused


def test_where_every_server_drains_an_upload_waits_with_the_patience_of_one_that_has_begun() -> None:
    """The only server is restarted: it still answers short calls, and refuses more often than there are attempts."""
    course = Course(50)
    for _ in range(10):
        course.it.failed(draining())
        course.wait()
        if course.it.step == Open():
            course.it.opened(session(), None, False)
        elif isinstance(course.it.step, Ask):
            course.it.found(session())
        assert isinstance(course.it.step, Send)


def test_a_segment_that_moved_nothing_is_a_failure() -> None:
    """Else a server that takes nothing would be sent the same bytes for ever."""
    course = Course(100)
    course.it.opened(session(), None, False)
    course.it.answered(partial(0), position=50, upload_id="u")
    assert isinstance(course.it.step, Wait)
    assert course.it.attempts == 2


@pytest.mark.parametrize("upload_id", [None, "u"])
def test_a_short_call_that_was_late_is_remembered(upload_id: str | None) -> None:
    """Whether it opens or asks; not one that failed, and no call that carries bytes."""
    for error, late in ((unavailable(), False), (errors.DeadlineExceeded("late", retryable=True), True)):
        course = Course(100, upload_id=upload_id).it
        assert isinstance(course.step, Open | Ask)
        course.failed(error)
        assert course.late is late
    sending = Course(10).it
    assert isinstance(sending.step, Send)
    sending.failed(errors.DeadlineExceeded("late", retryable=True))
    assert not sending.late


def test_a_slow_source_is_no_failure() -> None:
    """Segments that end by the clock with less than a part in them still move, as long as the source does."""
    course = Course(None, segment=50)
    course.it.opened(session(), None, False)
    for position in (1, 2, 3, 4):
        course.it.answered(partial(0, StopReason.STALLED), position=position, upload_id="u")
        assert course.it.step == Send("u", 0, 50)
    course.it.answered(partial(0, StopReason.STALLED), position=4, upload_id="u")
    assert isinstance(course.it.step, Wait)


def test_a_server_that_stays_away_is_given_up() -> None:
    """Before the first answer attempts count; after it, time without progress."""
    course = Course(50)
    course.it.failed(unavailable())
    course.wait()
    course.it.failed(unavailable())
    course.wait()
    with pytest.raises(errors.Unavailable) as raised:
        course.it.failed(unavailable())
    assert raised.value.attempts == 3

    begun = Course(100)
    begun.it.opened(session(), None, False)
    waited = 0.0
    with pytest.raises(errors.Unavailable):  # noqa: PT012 - the waits are the behaviour
        while True:
            begun.it.failed(unavailable(retry_after=9.0))
            waited += begun.wait()
            begun.it.answered(partial(0), position=0, upload_id="u")
    assert 100 < waited <= 120


def test_a_session_that_another_stream_carries_is_followed_to_its_result() -> None:
    """Two callers with one request id get the one document, and do not interrupt each other."""
    course = Course(100)
    course.it.opened(session(), None, False)
    course.it.failed(errors.UploadSuperseded("newer"))
    for persisted in (10, 20, 30):
        assert course.wait() == FOLLOW_POLL
        assert course.it.step == Ask("u")
        course.it.found(session(persisted))
    course.wait()
    course.it.found(session(100, UploadState.COMMITTING))
    assert course.it.step == Hear("u")


def test_a_session_whose_holder_died_is_taken_over() -> None:
    """What stands still longer than the server lets a silent stream live belongs to nobody."""
    course = Course(100)
    course.it.opened(session(), None, False)
    course.it.failed(errors.UploadSuperseded("newer"))
    waited = 0.0
    while isinstance(course.it.step, Wait):
        waited += course.wait()
        course.it.found(session(30))
    assert course.it.step == Hear("u")
    course.it.answered(partial(30), position=0, upload_id="u")
    assert course.it.step == Send("u", 30, 50)
    assert TAKE_OVER_AFTER <= waited <= TAKE_OVER_AFTER + 2 * FOLLOW_POLL


def test_a_follower_whose_time_is_over_may_ask_again() -> None:
    """Who sends now may have died: its caller is not told that it was refused, for the same request id goes on."""
    course = Course(100, timeout=40.0)
    course.it.opened(session(), None, False)
    course.it.failed(errors.UploadSuperseded("newer"))
    with pytest.raises(errors.UploadCommitting) as told:  # noqa: PT012 - the waits are the behaviour
        while True:
            course.wait()
            course.it.found(session(30))
    assert told.value.retryable
    assert told.value.reason == "UPLOAD_COMMITTING"
    assert told.value.metadata == {"upload_id": "u", "persisted_size": "30"}


def test_a_session_that_never_ends_is_given_up() -> None:
    """A commit that does not come to its end is waited for as long as patience lasts."""
    course = Course(50)
    course.it.failed(errors.UploadCommitting("soon", retryable=True, retry_after=1.0), upload_id="u")
    with pytest.raises(errors.UploadCommitting):  # noqa: PT012 - the waits are the behaviour
        while True:
            course.wait()
            course.it.found(session(50, UploadState.COMMITTING))
            course.clock.advance(20.0)
            course.it.failed(errors.UploadCommitting("soon", retryable=True, retry_after=1.0))
    assert course.clock() < 1000.0 + 120.0 + 21.0


def test_a_source_shorter_than_what_is_durable_is_refused() -> None:
    """It cannot be the source that was begun with."""
    course = Course(20, upload_id="u")
    assert course.it.step == Ask("u")
    with pytest.raises(errors.SourceError, match="only 20"):
        course.it.found(session(30))


class Simulation:
    """A server in a few lines, driven by random faults, and an edge without I/O that carries the steps out."""

    def __init__(self, size: int, faults: list[int], *, known: bool, replay: int | None) -> None:
        self.size = size
        self.faults = faults
        self.course = Course(size if known else None, segment=40, replay=replay)
        self.replay = replay
        self.durable = 0
        self.committed = False
        self.exists = False
        self.settled = 0

    def fault(self) -> int:
        """The next fault, 0 for none."""
        return self.faults.pop() if self.faults else 0

    def state(self) -> Upload:
        """The session."""
        state = UploadState.COMMITTED if self.committed else UploadState.ACTIVE
        return session(self.durable, state, segment=30)

    def send(self, step: Send) -> None:
        """One Upload call."""
        fault = self.fault()
        if fault == 1:
            self.course.it.failed(unavailable())
            return
        assert step.offset >= self.settled, "needs bytes that are gone"
        self.settled = step.offset
        assert step.offset <= self.durable
        end = self.size if step.most is None else min(self.size, step.offset + step.most)
        if self.replay is not None:
            assert end - step.offset <= max(self.replay, PART)
        reached = step.offset + (end - step.offset) * (fault % 7) // 7 if fault else end
        self.exists = True
        self.durable = max(self.durable, reached // PART * PART)
        finishes = not fault and end == self.size and (step.most is None or end - step.offset < step.most)
        if finishes or (not fault and end == self.size and self.course.it._rule.size is not None):
            self.committed = True
            if self.fault() % 2:
                self.course.it.failed(errors.ServerError("rst", retryable=True), upload_id="u")
            else:
                self.course.it.answered(COMMITTED, position=end, upload_id="u")
        elif fault % 3 == 2:
            answer = UploadAnswer(None, self.state(), StopReason.DRAINING, False, Receipt())
            self.course.it.answered(answer, position=reached, upload_id="u")
        elif fault:
            self.course.it.failed(unavailable(), upload_id="u" if fault % 2 else None)
        else:
            answer = UploadAnswer(None, self.state(), StopReason.SEGMENT_END, False, Receipt())
            self.course.it.answered(answer, position=end, upload_id="u")

    def run(self) -> int:
        """To the end; how many steps it took."""
        steps = 0
        while not isinstance(step := self.course.it.step, Done):
            steps += 1
            assert steps < 1000, "goes round in circles"
            match step:
                case Wait():
                    self.course.wait()
                case Open() if self.fault() % 2:
                    self.course.it.failed(unavailable())
                case Open():
                    self.exists = True
                    self.course.it.opened(self.state(), DOCUMENT if self.committed else None, False)
                case Ask() if self.fault() % 2:
                    self.course.it.failed(unavailable())
                case Ask():
                    assert self.exists
                    self.course.it.found(self.state())
                case Hear() if self.fault() % 2:
                    self.course.it.failed(unavailable())
                case Hear():
                    answer = UploadAnswer(None, self.state(), StopReason.SEGMENT_END, False, Receipt())
                    self.course.it.answered(COMMITTED if self.committed else answer, position=0, upload_id="u")
                case Send():
                    self.send(step)
        return steps


@settings(max_examples=400)
@given(
    size=st.integers(0, 200),
    faults=st.lists(st.integers(0, 20), max_size=30),
    known=st.booleans(),
    replay=st.sampled_from([None, 5, 20, 33]),
)
def test_every_upload_ends_in_its_document_or_in_the_servers_absence(
    size: int, faults: list[int], known: bool, replay: int | None
) -> None:
    """Whatever breaks wherever: no byte that is gone is asked for, nothing goes in circles, the document is whole."""
    simulation = Simulation(size, faults, known=known, replay=replay)
    try:
        simulation.run()
    except errors.Unavailable:
        return
    assert simulation.committed
