"""What an upload does next. Does no I/O: an edge carries out each step and says how it ended.

    small ──────────────> Send(spec) ──document──────────────────────────────────> Done
    other ─> Open ──┐        │ broke: the outcome is unknown
    resume ─> Ask ──┤        v
       ^            ├─ ACTIVE ────> Send(upload_id, from persisted_size) ─document─> Done
       │            ├─ COMMITTED ─> Done, or Hear for the receipt
       │            └─ otherwise ─> Hear (the first message alone: waits for the result, or tells why there is none)
       └── Wait <── any failure that may pass      Hear comes before Send where another call was sending before

One retry layer: the edge makes single attempts, and what follows a failure is decided here.

A call on `Upload` that ended in a status that LedgerLift did not make, or for which it asks to come
back, has an unknown outcome: the upload goes on from what is durable. Where a call had been sending, of this
process or of one before, parts of it may still be on their way into the store. GetUpload does not know of them,
and the next stream would make them worth nothing; so the session is first taken by the first message alone (Hear),
for which the server waits for them, and what it says is durable then is final. Not so where a server that drains
has taken nothing: the same call is made again, without a question before it. Round robin over two replicas would give
every question to the one that serves, and every call to the one that drains, until that is gone (measured: 20 s).
Once; where nobody else answers, a question shows that the upload has begun, and it has the patience of one. A session
that another stream has taken over is followed, not fought for: two clients with the same request id would otherwise
interrupt each other for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ledgerlift_client import errors
from ledgerlift_client._models import (
    Document,
    Receipt,
    StopReason,
    Upload,
    UploadAnswer,
    UploadState,
)
from ledgerlift_client._retry import RetryState

FOLLOW_POLL = 1.0
"""Seconds between two looks at a session that another stream carries."""
TAKE_OVER_AFTER = 45.0
"""Seconds after which a session that does not move is taken over. The server ends a silent stream after 30."""


@dataclass(frozen=True, slots=True)
class Open:
    """CreateUpload with the spec: opens the session or finds it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """GetUpload."""

    upload_id: str


@dataclass(frozen=True, slots=True)
class Send:
    """Upload: the source's bytes from `offset`, at most `most` (None: all that are left).

    `upload_id` None: the first message carries the spec. Where the source ends, the upload is finished.
    """

    upload_id: str | None
    offset: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Hear:
    """Upload with the first message alone: takes an ACTIVE session and answers with what is durable of it; of another
    one it answers with the result, waits for it, or refuses for good."""

    upload_id: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing, for `seconds`; `because` says what failed, None where nothing did."""

    seconds: float
    because: errors.LedgerLiftError | None


@dataclass(frozen=True, slots=True)
class Done:
    """The document is durable."""

    document: Document
    duplicate: bool
    receipt: Receipt


Step = Open | Ask | Send | Hear | Wait | Done


@dataclass(frozen=True, slots=True)
class SegmentRule:
    """How the document is cut into calls; sizes in bytes.

    `size` is the document's, None when unknown. `replay` bounds what of a source that cannot seek is
    kept for sending again, None for a source that can.
    """

    size: int | None
    segment_size: int
    replay: int | None = None

    @property
    def single(self) -> bool:
        """True when the whole document is one call."""
        return self.size is not None and self.size <= min(self.segment_size, self.replay or self.segment_size)

    def most(self, upload: Upload) -> int:
        """Bytes to send in one call: a multiple of the part size, as what is behind the last whole part is lost."""
        bounds = (upload.segment_size or self.segment_size, self.segment_size, self.replay or self.segment_size)
        part = max(1, upload.part_size)
        return max(part, min(bounds) // part * part)


class UploadCourse:
    """One upload, from its first call to its document.

    After carrying out `step`, call exactly one of `waited`, `opened`, `found`, `answered` and `failed`.
    Each of them may raise the LedgerLiftError that ends the upload.
    """

    def __init__(
        self, rule: SegmentRule, retry: RetryState, *, upload_id: str | None = None, ask_first: bool = False
    ) -> None:
        """`upload_id`: go on with this session rather than with the one of the spec.

        `ask_first`: part of the document may be durable already, so the session is asked for before anything is sent.
        """
        self.upload_id = upload_id
        self.durable = 0
        self._rule = rule
        self._retry = retry
        self._furthest = 0
        self._followed: tuple[int, datetime] | None = None
        self._following_since = 0.0
        self._following = False
        self._unsettled = upload_id is not None or ask_first
        self._refused: Send | None = None
        self._repeated = False
        self.late = False
        """A short call was not answered in its time."""
        self.step: Step
        if upload_id is not None:
            self.step = Ask(upload_id)
        elif rule.single and not ask_first:
            self.step = Send(None, 0, None)
        else:
            self.step = Open()

    @property
    def attempts(self) -> int:
        """1, and one more for every call that had to be made again."""
        return self._retry.attempts

    def waited(self) -> None:
        """The wait is over."""
        self._repeated = self._refused is not None
        if self._refused is not None:
            self.step, self._refused = self._refused, None
        elif self.upload_id is None:
            self.step = Open()
        else:
            hears = self._unsettled and not self._following
            self.step = Hear(self.upload_id) if hears else Ask(self.upload_id)

    def opened(self, upload: Upload, document: Document | None, duplicate: bool) -> None:
        """CreateUpload answered."""
        if document is not None:
            self._learn(upload.upload_id)
            self.step = Done(document, duplicate, Receipt())
            return
        self.found(upload)

    def found(self, upload: Upload) -> None:
        """GetUpload answered."""
        self._learn(upload.upload_id)
        self._retry.begun()
        grew = self._grew(upload)
        if upload.state is not UploadState.ACTIVE:
            self.step = Hear(upload.upload_id)
        elif self._following and not self._stands_still(upload, grew):
            self.step = Wait(self._retry.pause(FOLLOW_POLL, self._carried(upload)), None)
        else:
            self._following = False
            self._check_size(upload)
            if self._unsettled:
                self.step = Hear(upload.upload_id)
            else:
                self._send(upload)

    def answered(self, answer: UploadAnswer, *, position: int, upload_id: str | None) -> None:
        """Upload answered. `position` is where in the source the call had come to, `upload_id` from its metadata."""
        self._learn(upload_id)
        self._retry.begun()
        if answer.document is not None:
            self.step = Done(answer.document, answer.duplicate, answer.receipt)
            return
        upload = answer.upload
        if upload is None:
            raise self.about(errors.ServerError("the answer to Upload carries neither a document nor a session"))
        self._learn(upload.upload_id)
        if isinstance(self.step, Hear):
            self._unsettled = False
            self.found(upload)
            return
        grew = self._grew(upload)
        # A slow source makes segments that end by the clock, with less than one new part in them.
        moved = grew or (answer.stop_reason is not StopReason.SEGMENT_END and position > self._furthest)
        self._furthest = max(self._furthest, position)
        if moved:
            self._retry.progressed()
            self._send(upload)
        else:
            self.failed(_stopped(answer.stop_reason, upload), upload_id=None)

    def failed(self, error: errors.LedgerLiftError, *, upload_id: str | None = None) -> None:
        """The step failed. `upload_id` as the initial metadata gave it."""
        self._learn(upload_id or error.upload_id)
        self.about(error)
        sending = isinstance(self.step, Send)
        self.late = self.late or (isinstance(error, errors.DeadlineExceeded) and isinstance(self.step, Open | Ask))
        # A server that drains has taken nothing, or has told what is durable of what it took.
        refused = self.step if isinstance(error, errors.Draining) and isinstance(self.step, Send) else None
        self._unsettled = self._unsettled or (sending and refused is None)
        if isinstance(error, errors.UploadSuperseded | errors.UploadCommitting):
            self._follow(error)
        elif error.retryable or (sending and isinstance(error, errors.ChecksumMismatch) and not _of_the_whole(error)):
            # A wrong CRC of one message leaves the session ACTIVE: the session tells.
            self.step = Wait(self._retry.after(error), error)
            self._refused = None if self._repeated or self._unsettled else refused
        else:
            error.attempts = self._retry.attempts
            raise error

    def about(self, error: errors.LedgerLiftError) -> errors.LedgerLiftError:
        """`error`, which now says which session it is about and how much of that is durable."""
        if self.upload_id is not None:
            error.metadata.setdefault("upload_id", self.upload_id)
        error.metadata.setdefault("persisted_size", str(self.durable))
        return error

    def _follow(self, error: errors.LedgerLiftError) -> None:
        if not self._following:
            self._following = True
            self._followed = None
        self.step = Wait(self._retry.pause(max(FOLLOW_POLL, error.retry_after or 0.0), error), error)

    def _stands_still(self, upload: Upload, grew: bool) -> bool:
        mark = (upload.persisted_size, upload.update_time)
        now = self._retry.now()
        if mark != self._followed or grew:
            self._followed, self._following_since = mark, now
        return now - self._following_since >= TAKE_OVER_AFTER

    def _send(self, upload: Upload) -> None:
        self.step = Send(upload.upload_id, upload.persisted_size, self._rule.most(upload))

    def _check_size(self, upload: Upload) -> None:
        size = self._rule.size
        if size is not None and upload.persisted_size > size:
            raise self.about(
                errors.SourceError(
                    f"{upload.persisted_size} bytes of upload {upload.upload_id} are durable, "
                    f"but the source has only {size}"
                )
            )

    def _grew(self, upload: Upload) -> bool:
        if upload.persisted_size <= self.durable:
            return False
        self.durable = upload.persisted_size
        self._retry.progressed()
        return True

    def _learn(self, upload_id: str | None) -> None:
        if upload_id:
            self.upload_id = upload_id

    def _carried(self, upload: Upload) -> errors.LedgerLiftError:
        # As the server puts it to those that it lets wait: who asks again gets the document, or the session that its
        # holder has left.
        return self.about(
            errors.UploadCommitting(
                f"another stream carries upload {upload.upload_id}, {upload.persisted_size} bytes of it are durable",
                reason="UPLOAD_COMMITTING",
                retryable=True,
                retry_after=FOLLOW_POLL,
            )
        )


def _of_the_whole(error: errors.ChecksumMismatch) -> bool:
    """The server has hashed the whole document, and says what it computed: the session is FAILED."""
    return bool(error.metadata.get("computed"))


def _stopped(reason: StopReason, upload: Upload) -> errors.LedgerLiftError:
    """The same as the server answers to callers that do not accept a partial upload."""
    kind, why = {
        StopReason.DRAINING: (errors.Draining, "the server is shutting down"),
        StopReason.STALLED: (errors.UploadStalled, "no message came in time"),
        StopReason.DEADLINE: (errors.UploadDeadline, "the deadline was near"),
    }.get(reason, (errors.UploadIncomplete, f"the call ended ({reason})"))
    return kind(
        f"{why}; {upload.persisted_size} bytes of upload {upload.upload_id} are durable, as before",
        reason=f"UPLOAD_{reason}" if kind is not errors.Draining else "DRAINING",
        metadata={"upload_id": upload.upload_id, "persisted_size": str(upload.persisted_size)},
        retryable=True,
    )
