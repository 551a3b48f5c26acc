"""Carries out an upload: the I/O of `UploadCourse`, on the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from ledgerlift_client import _convert, errors
from ledgerlift_client._calls import Calls, failure, header_id, pause
from ledgerlift_client._digest import RunningDigest
from ledgerlift_client._feed import Feed
from ledgerlift_client._models import UploadResult, UploadSpec
from ledgerlift_client._policies import CANCEL_UPLOAD, CREATE_UPLOAD, GET_UPLOAD, UPLOAD
from ledgerlift_client._progress import Meter, Progress
from ledgerlift_client._sources import Source
from ledgerlift_client._upload_course import Ask, Done, Hear, Open, Send, UploadCourse, Wait
from ledgerlift_client._wire import data_message

MESSAGES_AHEAD = 4
"""Messages read and hashed before grpc has taken the one before; with one in grpc itself, 5 MiB per upload."""
UPLOAD_ID_HEADER = "ledgerlift-upload-id"
_CANCEL_TIMEOUT = 5.0  # s; a courtesy, not worth waiting for


class Uploader:
    """One upload. `run` once."""

    def __init__(
        self,
        calls: Calls,
        course: UploadCourse,
        source: Source,
        spec: UploadSpec,
        *,
        sha256: str | None,
        owns_session: bool,
        timeout: Callable[[float], float],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        """`timeout` shortens a step's time to what the whole upload has left.

        `owns_session`: the session was begun with this very source, so that it is given up when that changes.
        """
        self._calls = calls
        self._course = course
        self._source = source
        self._spec = spec
        self._owns_session = owns_session
        self._timeout = timeout
        self._progress = progress
        self._meter = Meter(source.size)
        self._digest = RunningDigest(sha256)
        self._header = header_id(spec.request_id)
        self._sent_up_to = 0
        self._resent = 0

    def run(self) -> UploadResult:
        """Take step after step until the document is durable.

        Raises LedgerLiftError, or whatever the source or the progress callback raises: then the session
        stays as it is, and the same request id goes on with it.
        """
        course = self._course
        while True:
            try:
                match course.step:
                    case Done() as done:
                        return self._result(done)
                    case Wait(seconds, because):
                        pause(seconds, because)
                        course.waited()
                    case Open():
                        self._open()
                    case Ask(upload_id):
                        self._ask(upload_id)
                    case Send() as send:
                        self._call(self._messages(send), send.offset)
                    case Hear(upload_id):
                        alone = pb.UploadRequest(upload_id=upload_id, accept_partial=True)
                        self._call(iter([(0, alone.SerializeToString())]), 0)
            except errors.SourceChanged:
                self._give_up()
                raise
            except errors.LedgerLiftError as error:
                error.request_id = error.request_id or self._header
                raise

    def _open(self) -> None:
        request = pb.CreateUploadRequest(spec=_convert.spec_message(self._spec))
        try:
            answer = self._calls.once(
                CREATE_UPLOAD,
                request,
                timeout=self._timeout(CREATE_UPLOAD.default_timeout),
                request_id=self._header,
            )
        except errors.LedgerLiftError as error:
            self._course.failed(error)
            return
        found = _convert.document(answer.document) if answer.HasField("document") else None
        self._course.opened(_convert.upload(answer.upload), found, answer.duplicate)
        self._report_durable()

    def _ask(self, upload_id: str) -> None:
        try:
            answer = self._calls.once(
                GET_UPLOAD,
                pb.GetUploadRequest(upload_id=upload_id),
                timeout=self._timeout(GET_UPLOAD.default_timeout),
                request_id=self._header,
            )
        except errors.LedgerLiftError as error:
            self._course.failed(error)
            return
        upload = _convert.upload(answer.upload)
        self._same_size(upload.spec.size)
        self._course.found(upload)
        self._report_durable()

    def _call(self, messages: Iterator[tuple[int, bytes]], position: int) -> None:
        """One Upload call with `messages`, each with the position in the source where it ends."""
        first = next(messages)  # read before the call begins: the server's patience is for us, not for our source
        feed = Feed(MESSAGES_AHEAD)
        limit = min(UPLOAD.default_timeout, self._calls.options.segment_timeout)
        call = self._calls.upload(UPLOAD, feed, timeout=self._timeout(limit), request_id=self._header)
        call.add_done_callback(feed.stop)
        start, ends = position, list[int]()
        try:
            position = self._put(feed, first, messages, position, ends)
            feed.end()
            try:
                response = call.result()
            except (grpc.RpcError, grpc.FutureCancelledError) as error:
                failed = failure(error, self._header)
                failed.__cause__ = error
                self._course.failed(failed, upload_id=_upload_id(call))
                return
        except BaseException:
            call.cancel()
            raise
        finally:
            feed.stop()
            self._sent(start, ends[: feed.taken])
        self._course.answered(_convert.answer(response), position=position, upload_id=_upload_id(call))
        self._report_durable()

    def _put(
        self,
        feed: Feed,
        first: tuple[int, bytes],
        rest: Iterator[tuple[int, bytes]],
        position: int,
        ends: list[int],
    ) -> int:
        """Hand messages over until there are none or the call is over. Where in the source that was.

        Where each of them ends is added to `ends`.
        """
        end, message = first
        while feed.put(message):
            self._moved(end)
            ends.append(end)
            position = end
            following = next(rest, None)
            if following is None:
                break
            end, message = following
        return position

    def _messages(self, send: Send) -> Iterator[tuple[int, bytes]]:
        """The messages of one call. The last of the document finishes it; the last of a segment does not."""
        source, digest, size = self._source, self._digest, self._source.size
        self._catch_up(send.offset)
        source.settle(self._course.durable)
        source.seek(send.offset)
        self._meter.at(send.offset)
        first = pb.UploadRequest(accept_partial=True)
        if send.upload_id is None:
            first.spec.CopyFrom(_convert.spec_message(self._spec))
        else:
            first.upload_id = send.upload_id
        head: pb.UploadRequest | None = first
        position = send.offset
        stop = None if send.most is None else send.offset + send.most
        while True:
            most = self._calls.options.message_size
            data = source.read(most if stop is None else min(most, stop - position))
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

    def _catch_up(self, offset: int) -> None:
        """Hash what is durable already and has not passed through here: it was sent by an earlier process."""
        position = self._digest.needs(offset)
        if position is None:
            return
        self._source.seek(position)
        while position < offset:
            data = self._source.read(min(self._calls.options.message_size, offset - position))
            if not data:
                raise errors.SourceChanged(f"the source ended at {position}, {offset} bytes of it are durable")
            self._digest.feed(position, data)
            position += len(data)
            self._source.settle(position)

    def _sent(self, start: int, ends: Sequence[int]) -> None:
        """Messages that grpc took, from `start` on; of the others nothing has left this process."""
        end = ends[-1] if ends else start
        self._resent += max(0, min(end, self._sent_up_to) - start)
        self._sent_up_to = max(self._sent_up_to, end)

    def _moved(self, end: int) -> None:
        self._meter.moved(end)
        self._report()

    def _report_durable(self) -> None:
        self._meter.durable(self._course.durable)
        step = self._course.step
        if isinstance(step, Done):
            self._meter.total = step.document.size
            self._meter.durable(step.document.size)
            self._meter.at(step.document.size)
        elif isinstance(step, Send):
            self._meter.at(step.offset)
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._meter.progress())

    def _same_size(self, declared: int | None) -> None:
        if self._source.size is not None and declared is not None and declared != self._source.size:
            raise errors.SourceError(
                f"upload {self._course.upload_id} is of {declared} bytes, the source has {self._source.size}",
                metadata={"upload_id": self._course.upload_id or ""},
            )

    def _give_up(self) -> None:
        """The source is not what was begun with: nothing can go on with this session, so it shall not wait."""
        if self._course.upload_id is None or not self._owns_session:
            return
        request = pb.CancelUploadRequest(upload_id=self._course.upload_id)
        with suppress(errors.LedgerLiftError):  # else it expires by itself
            self._calls.once(CANCEL_UPLOAD, request, timeout=_CANCEL_TIMEOUT, request_id=self._header)

    def _result(self, done: Done) -> UploadResult:
        return UploadResult(
            document=done.document,
            duplicate=done.duplicate,
            receipt=done.receipt,
            upload_id=self._course.upload_id,
            request_id=self._spec.request_id,
            resent_bytes=self._resent,
            attempts=self._course.attempts,
        )


def _upload_id(call: grpc.Call) -> str | None:
    """The session as the server announced it; it is there for a failed call as well."""
    for name, value in call.initial_metadata() or ():
        if name == UPLOAD_ID_HEADER:
            return value if isinstance(value, str) else value.decode()
    return None
