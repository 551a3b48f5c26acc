"""Carries out an upload: the calls of `UploadRun`, in the caller's task. The blocking client's twin; see there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from typing import Final, TypeVar

from ledgerlift.v1 import upload_service_pb2 as pb

from ledgerlift_client import errors
from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._aio._feed import Feed
from ledgerlift_client._aio._sources import Opened
from ledgerlift_client._attempt import Operation
from ledgerlift_client._models import UploadResult
from ledgerlift_client._policies import CANCEL_UPLOAD, CREATE_UPLOAD, GET_UPLOAD, UPLOAD
from ledgerlift_client._upload_course import Ask, Done, Hear, Open, Send, Wait
from ledgerlift_client._upload_run import CANCEL_TIMEOUT, MESSAGES_AHEAD, UPLOAD_ID_HEADER, Message, UploadRun

_T = TypeVar("_T")


class _End(Enum):
    END = 0


_END: Final = _End.END


class Uploader:
    """One upload. `run` once."""

    def __init__(self, calls: Calls, run: UploadRun, operation: Operation, opened: Opened) -> None:
        """`operation` is what all calls of the upload have in common."""
        self._calls = calls
        self._run = run
        self._operation = operation
        self._opened = opened

    async def run(self) -> UploadResult:
        """Take step after step until the document is durable.

        Raises LedgerLiftError, or whatever the source or a callback raises, CancelledError too: then the session
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
                        await asyncio.sleep(seconds)
                        course.waited()
                    case Open():
                        await self._open()
                    case Ask(upload_id):
                        await self._ask(upload_id)
                    case Send() as send:
                        steps = run.go_to(send.offset)
                        while await self._step(steps) is not _END:
                            await self._opened.ready()
                        await self._call(run.messages(send), send.offset)
                    case Hear(upload_id):
                        await self._call(run.alone(upload_id), course.durable)
            except errors.SourceChanged:
                await self._give_up()
                raise
            except errors.LedgerLiftError as error:
                run.ended_with(error)
                raise

    async def _open(self) -> None:
        limit = self._run.call_limit(self._calls.core.options)
        try:
            answer = await self._calls.once(CREATE_UPLOAD, self._run.create_request(), self._operation, limit)
        except errors.LedgerLiftError as error:
            self._run.course.failed(error)
            return
        self._run.opened(answer)

    async def _ask(self, upload_id: str) -> None:
        request = pb.GetUploadRequest(upload_id=upload_id)
        limit = self._run.call_limit(self._calls.core.options)
        try:
            answer = await self._calls.once(GET_UPLOAD, request, self._operation, limit)
        except errors.LedgerLiftError as error:
            self._run.course.failed(error)
            return
        self._run.found(answer)

    async def _call(self, messages: Iterator[Message], position: int) -> None:
        """One Upload call with `messages`, which begin at `position` in the source."""
        run = self._run
        first = await self._message(messages)  # before the call: the server's patience is not for our source
        feed = Feed(MESSAGES_AHEAD)
        try:
            call = await self._calls.upload(UPLOAD, feed, self._operation)
        except errors.LedgerLiftError as error:
            run.course.failed(error)
            return
        start, ends = position, list[int]()
        try:
            position = await self._put(feed, first, messages, position, ends)
            feed.end()
            try:
                response = await call.result()
            except errors.LedgerLiftError as error:
                run.course.failed(error, upload_id=await call.header(UPLOAD_ID_HEADER))
                return
        finally:
            call.leave()  # before the feed stops: its end would be half a goodbye, and the server would wait
            feed.stop()
            run.sent(start, ends[: feed.taken])
        run.answered(response, position=position, upload_id=await call.header(UPLOAD_ID_HEADER))

    async def _put(
        self, feed: Feed, first: Message | _End, rest: Iterator[Message], position: int, ends: list[int]
    ) -> int:
        """Hand messages over until there are none or the call is over. Where in the source that was.

        Where each of them ends is added to `ends`.
        """
        following: Message | _End = first
        while following is not _END and await feed.put(following[1]):
            position = following[0]
            self._run.moved(position)
            ends.append(position)
            following = await self._message(rest)
        return position

    async def _message(self, messages: Iterator[Message]) -> Message | _End:
        await self._opened.ready()
        return await self._step(messages)

    async def _step(self, steps: Iterator[_T]) -> _T | _End:
        """The next of what reads and hashes. Always awaited to its end: a read that is left is never taken up."""
        if self._opened.at_once:
            return next(steps, _END)
        return await self._opened.worker.do(next, steps, _END)

    async def _give_up(self) -> None:
        request = self._run.cancel_request()
        if request is not None:
            with suppress(errors.LedgerLiftError):  # else it expires by itself
                operation = self._calls.short(CANCEL_TIMEOUT, self._run.header)
                await self._calls.once(CANCEL_UPLOAD, request, operation, CANCEL_TIMEOUT)
