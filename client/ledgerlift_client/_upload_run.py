"""One upload but for its calls: what each step sends, what came of it, and what is told. Calls nobody.

Both clients drive it: they take `course.step`, make the one call that it asks for, and say how that ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledgerlift.v1 import upload_service_pb2 as pb

from ledgerlift_client import _convert, errors
from ledgerlift_client._core import header_id, tell_of
from ledgerlift_client._digest import RunningDigest
from ledgerlift_client._models import UploadResult, UploadSpec
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._retry import RetryState
from ledgerlift_client._sources import Source
from ledgerlift_client._transfer_events import Reporter
from ledgerlift_client._upload_course import Done, Hear, SegmentRule, Send, UploadCourse
from ledgerlift_client._wire import data_message

MESSAGES_AHEAD = 4
"""Messages read and hashed before grpc has taken the one before; with one in grpc itself, 5 MiB per upload."""
UPLOAD_ID_HEADER = "ledgerlift-upload-id"
CANCEL_TIMEOUT = 5.0
"""Seconds for giving a session up: a courtesy, not worth waiting for."""

Message = tuple[int, bytes]
"""A serialized message, behind the position in the source where it ends."""


def new_run(
    options: ClientOptions,
    state: RetryState,
    source: Source,
    spec: UploadSpec,
    sha256: str | None,
    reporter: Reporter,
    *,
    upload_id: str | None = None,
    ask_first: bool = False,
) -> UploadRun:
    """The run of an upload that opens its session, or goes on with `upload_id`. `sha256` as far as it is known."""
    rule = SegmentRule(source.size, options.segment_size, source.replay)
    return UploadRun(
        UploadCourse(rule, state, upload_id=upload_id, ask_first=ask_first),
        source,
        spec,
        reporter,
        message_size=options.message_size,
        sha256=sha256,
        owns_session=upload_id is None,
    )


class UploadRun:
    """The state of one upload."""

    def __init__(
        self,
        course: UploadCourse,
        source: Source,
        spec: UploadSpec,
        reporter: Reporter,
        *,
        message_size: int,
        sha256: str | None,
        owns_session: bool,
    ) -> None:
        """`owns_session`: it was begun with this very source, so that it is given up when that changes."""
        self.course = course
        self.spec = spec
        self.header = header_id(spec.request_id)
        self._source = source
        self._reporter = reporter
        self._meter = reporter.meter
        self._message_size = message_size
        self._owns_session = owns_session
        self._digest = RunningDigest(sha256)
        self._sent_up_to = 0
        self._resent = 0

    # What the calls send.

    def call_limit(self, options: ClientOptions) -> float | None:
        """Seconds for a short call of the upload, None for what its policy says.

        Once that was too little, all that a call may take: a server that is late because many want something of it
        at once takes in what was given up, too, before what comes again.
        """
        return options.call_timeout if self.course.late else None

    def create_request(self) -> pb.CreateUploadRequest:
        """For `Open`."""
        return pb.CreateUploadRequest(spec=_convert.spec_message(self.spec))

    def alone(self, upload_id: str) -> Iterator[Message]:
        """For `Hear`: the first message and nothing else, which moves nothing."""
        yield self.course.durable, pb.UploadRequest(upload_id=upload_id, accept_partial=True).SerializeToString()

    def go_to(self, offset: int) -> Iterator[None]:
        """Before `messages`: bring the source to `offset`, piece by piece, one read in each step but the first.

        What is durable already and has not passed through here was sent by an earlier process. It is hashed; of a
        stream whose digest is known it is only read.
        """
        source = self._source
        position = self._digest.needs(offset)
        if position is None:
            position = source.unread(offset)
        if position is not None:
            source.seek(position)
            yield
            while position < offset:
                data = source.read(min(self._message_size, offset - position))
                if not data:
                    raise errors.SourceChanged(f"the source ended at {position}, {offset} bytes of it are durable")
                self._digest.feed(position, data)
                position += len(data)
                source.settle(position)
                yield
        source.settle(self.course.durable)
        source.seek(offset)
        self._meter.at(offset)

    def messages(self, send: Send) -> Iterator[Message]:
        """For `Send`. The last message of the document finishes it; the last of a segment does not.

        Reads the source once for each; raises what that raises.
        """
        source, digest, size = self._source, self._digest, self._source.size
        first = pb.UploadRequest(accept_partial=True)
        if send.upload_id is None:
            first.spec.CopyFrom(_convert.spec_message(self.spec))
        else:
            first.upload_id = send.upload_id
        head: pb.UploadRequest | None = first
        position = send.offset
        stop = None if send.most is None else send.offset + send.most
        while True:
            data = source.read(self._message_size if stop is None else min(self._message_size, stop - position))
            digest.feed(position, data)
            end = position + len(data)
            last = end == size if size is not None else not data
            if not last and not data:
                raise errors.SourceChanged(f"the source had {size} bytes and ended after {end}")
            if last:
                source.check()
                head = head or pb.UploadRequest()
                head.finish_write, head.sha256, head.size = True, digest.hexdigest(), end
            yield end, data_message(position, data, head)
            head, position = None, end
            if last or position == stop:
                return

    def cancel_request(self) -> pb.CancelUploadRequest | None:
        """For a source that is not what was begun with: nothing can go on with this session, so it shall not wait."""
        if self.course.upload_id is None or not self._owns_session:
            return None
        return pb.CancelUploadRequest(upload_id=self.course.upload_id)

    # What came of them.

    def opened(self, answer: pb.CreateUploadResponse) -> None:
        """CreateUpload answered."""
        found = _convert.document(answer.document) if answer.HasField("document") else None
        self.course.opened(_convert.upload(answer.upload), found, answer.duplicate)
        self._going_on()

    def found(self, answer: pb.GetUploadResponse) -> None:
        """GetUpload answered."""
        upload = _convert.upload(answer.upload)
        self._same_size(upload.spec.size)
        self.course.found(upload)
        self._going_on()

    def answered(self, answer: pb.UploadResponse, *, position: int, upload_id: str | None) -> None:
        """Upload answered; `position` is where in the source its messages had come to."""
        heard = isinstance(self.course.step, Hear)
        self.course.answered(_convert.answer(answer), position=position, upload_id=upload_id)
        if heard:
            self._going_on()
        else:
            self._report_durable()

    def waiting(self, seconds: float, because: errors.LedgerLiftError | None) -> None:
        """A wait begins; without a cause it is for another stream's work, and nobody needs to hear of it."""
        if because is not None:
            tell_of(seconds, because)
            self._reporter.retrying(because, seconds, because.attempts)

    def moved(self, end: int) -> None:
        """A message up to `end` was handed over."""
        self._meter.moved(end)
        self._reporter.moved()

    def sent(self, start: int, ends: Sequence[int]) -> None:
        """Messages that grpc took, from `start` on; of the others nothing has left this process."""
        end = ends[-1] if ends else start
        self._resent += max(0, min(end, self._sent_up_to) - start)
        self._sent_up_to = max(self._sent_up_to, end)

    def ended_with(self, error: errors.LedgerLiftError) -> None:
        """The upload ends with `error`: say in it which request and which session it was."""
        error.request_id = error.request_id or self.header
        self.course.about(error)

    def result(self, done: Done) -> UploadResult:
        """What the caller gets."""
        return UploadResult(
            document=done.document,
            duplicate=done.duplicate,
            receipt=done.receipt,
            upload_id=self.course.upload_id,
            request_id=self.spec.request_id,
            resent_bytes=self._resent,
            attempts=self.course.attempts,
        )

    # Inside.

    def _going_on(self) -> None:
        step = self.course.step
        if isinstance(step, Send) and step.offset:
            self._reporter.resumed(step.offset, step.upload_id)
        self._report_durable()

    def _report_durable(self) -> None:
        self._meter.durable(self.course.durable)
        step = self.course.step
        if isinstance(step, Done):
            self._meter.total = step.document.size
            self._meter.durable(step.document.size)
            self._meter.at(step.document.size)
        elif isinstance(step, Send | Hear):
            self._meter.at(self.course.durable)
        self._reporter.moved()

    def _same_size(self, declared: int | None) -> None:
        if self._source.size is not None and declared is not None and declared != self._source.size:
            raise errors.SourceError(
                f"upload {self.course.upload_id} is of {declared} bytes, the source has {self._source.size}",
                metadata={"upload_id": self.course.upload_id or ""},
            )
