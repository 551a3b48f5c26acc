"""Carries out an upload: the calls of `UploadRun`, on the calling thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from ledgerlift.v1 import upload_service_pb2 as pb

from ledgerlift_client import errors
from ledgerlift_client._calls import Calls, Operation
from ledgerlift_client._feed import Feed
from ledgerlift_client._models import UploadResult
from ledgerlift_client._policies import CANCEL_UPLOAD, CREATE_UPLOAD, GET_UPLOAD, UPLOAD
from ledgerlift_client._upload_course import Ask, Done, Hear, Open, Send, Wait
from ledgerlift_client._upload_run import CANCEL_TIMEOUT, MESSAGES_AHEAD, UPLOAD_ID_HEADER, Message, UploadRun


class Uploader:
    """One upload. `run` once."""

    def __init__(self, calls: Calls, run: UploadRun, operation: Operation) -> None:
        """`operation` is what all calls of the upload have in common."""
        self._calls = calls
        self._run = run
        self._operation = operation

    def run(self) -> UploadResult:
        """Take step after step until the document is durable.

        Raises LedgerLiftError, or whatever the source or a callback raises: then the session
        stays as it is, and the same request id goes on with it.
        """
        run, course = self._run, self._run.course
        while True:
            try:
                match course.step:
                    case Done() as done:
                        return run.result(done)
                    case Wait(seconds, because):
                        run.waiting(seconds, because)
                        self._operation.sleep(seconds)
                        course.waited()
                    case Open():
                        self._open()
                    case Ask(upload_id):
                        self._ask(upload_id)
                    case Send() as send:
                        for _ in run.go_to(send.offset):
                            self._operation.check()
                        self._call(run.messages(send), send.offset)
                    case Hear(upload_id):
                        self._call(run.alone(upload_id), course.durable)
            except errors.SourceChanged:
                self._give_up()
                raise
            except errors.LedgerLiftError as error:
                run.ended_with(error)
                raise

    def _open(self) -> None:
        limit = self._run.call_limit(self._calls.core.options)
        try:
            answer = self._calls.once(CREATE_UPLOAD, self._run.create_request(), self._operation, limit)
        except errors.Cancelled:
            raise
        except errors.LedgerLiftError as error:
            self._run.course.failed(error)
            return
        self._run.opened(answer)

    def _ask(self, upload_id: str) -> None:
        request = pb.GetUploadRequest(upload_id=upload_id)
        limit = self._run.call_limit(self._calls.core.options)
        try:
            answer = self._calls.once(GET_UPLOAD, request, self._operation, limit)
        except errors.Cancelled:
            raise
        except errors.LedgerLiftError as error:
            self._run.course.failed(error)
            return
        self._run.found(answer)

    def _call(self, messages: Iterator[Message], position: int) -> None:
        """One Upload call with `messages`, which begin at `position` in the source."""
        run = self._run
        first = next(messages)  # read before the call begins: the server's patience is for us, not for our source
        feed = Feed(MESSAGES_AHEAD)
        try:
            call = self._calls.upload(UPLOAD, feed, self._operation)
        except errors.Cancelled:
            raise
        except errors.LedgerLiftError as error:
            run.course.failed(error)
            return
        start, ends = position, list[int]()
        try:
            position = self._put(feed, first, messages, position, ends)
            feed.end()
            try:
                response = call.result()
            except errors.Cancelled:
                raise
            except errors.LedgerLiftError as error:
                run.course.failed(error, upload_id=call.header(UPLOAD_ID_HEADER))
                return
        finally:
            call.leave()
            feed.stop()
            run.sent(start, ends[: feed.taken])
        run.answered(response, position=position, upload_id=call.header(UPLOAD_ID_HEADER))

    def _put(self, feed: Feed, first: Message, rest: Iterator[Message], position: int, ends: list[int]) -> int:
        """Hand messages over until there are none or the call is over. Where in the source that was.

        Where each of them ends is added to `ends`.
        """
        end, message = first
        while feed.put(message):
            self._run.moved(end)
            ends.append(end)
            position = end
            following = next(rest, None)
            if following is None:
                break
            end, message = following
        return position

    def _give_up(self) -> None:
        request = self._run.cancel_request()
        if request is not None:
            with suppress(errors.LedgerLiftError):  # else it expires by itself
                operation = self._calls.short(CANCEL_TIMEOUT, self._run.header)
                self._calls.once(CANCEL_UPLOAD, request, operation, CANCEL_TIMEOUT)
