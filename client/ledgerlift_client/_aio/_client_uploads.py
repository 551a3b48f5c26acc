"""Upload sessions, as users of the client see them. Each method translates and delegates."""

# ruff: noqa: ASYNC109 - `timeout` is sent with the calls and bounds their retries; asyncio.timeout would only cancel

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

from ledgerlift.v1 import upload_service_pb2 as uploads

from ledgerlift_client import _convert, _policies, _requests
from ledgerlift_client._aio import _events
from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._aio._many import upload_each
from ledgerlift_client._aio._pages import pages
from ledgerlift_client._aio._sources import AsyncSourceLike, Opened, opened
from ledgerlift_client._aio._uploader import Uploader
from ledgerlift_client._aio._worker import cancelling
from ledgerlift_client._attempt import Operation
from ledgerlift_client._core import header_id
from ledgerlift_client._models import (
    DuplicatePolicy,
    ExistingDigest,
    Limits,
    Upload,
    UploadResult,
    UploadSpec,
    UploadState,
)
from ledgerlift_client._progress import Progress
from ledgerlift_client._sources import Source
from ledgerlift_client._transfer_events import Reporter, TransferEvent, telling
from ledgerlift_client._upload_plan import Dedupe, UploadItem, UploadOutcome, UploadPlan
from ledgerlift_client._upload_run import new_run


class UploadMethods:
    """The part of `AsyncLedgerLiftClient` that is about uploads."""

    _calls: Calls

    async def upload(
        self,
        source: AsyncSourceLike,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        duplicate_policy: DuplicatePolicy = DuplicatePolicy.RETURN_EXISTING,
        request_id: str | None = None,
        sha256: str | None = None,
        dedupe: Dedupe = "send",
        state_file: str | os.PathLike[str] | None = None,
        progress: Callable[[Progress], None] | None = None,
        on_event: Callable[[TransferEvent], None] | None = None,
        timeout: float | None = None,
    ) -> UploadResult:
        """Store a document; returns when it is durable.

        `source` is a path, bytes, a binary file object (read from where it stands, not closed), or an iterable or an
        async iterable of bytes. All of them are hashed on a thread, and all but the last read there, an iterable's
        own code included, so that the loop stays free.
        `filename` defaults to the source's own name, `content_type` to what the name suggests.
        `request_id` makes the upload exactly-once: the same id with the same description goes on with what
        was begun, from any process, and answers the same document from then on (for as long as
        `limits().request_id_lifetime`). One is made where none is given; it is in the result, and, where it
        is plain ASCII, in every error as `request_id`. `state_file` remembers the id that was made, so that the next
        run of a program that crashed goes on with its upload; it is gone when the document is durable.
        `sha256` (lower-case hex), where known, lets the server answer a duplicate before a byte is sent;
        else it is computed while sending, or, with `dedupe="check"`, before: known bytes are then not sent.
        The server verifies it either way.
        `progress` is called for every message, about once per MiB; `on_event` for what happens, at most ten times a
        second for progress. Both are plain functions that run on the loop and must not block. `timeout` is for
        everything together.

        To end it, cancel the task: the server's stream ends at once. A read that is under way is waited for, a
        second at most. Raises LedgerLiftError; OSError and whatever else the source raises, as it is. After any of
        them, and after CancelledError, what is durable stays for the same `request_id`, except after SourceChanged.
        """
        item = UploadItem(
            source,
            filename=filename,
            content_type=content_type,
            key=key,
            metadata=dict(metadata or {}),
            duplicate_policy=duplicate_policy,
            request_id=request_id,
            sha256=sha256,
            state_file=state_file,
        )
        return await self._upload(item, dedupe=dedupe, progress=progress, on_event=on_event, timeout=timeout)

    async def upload_many(
        self,
        sources: Iterable[AsyncSourceLike | UploadItem],
        *,
        concurrency: int = 4,
        dedupe: Dedupe = "send",
        on_event: Callable[[UploadItem, TransferEvent], None] | None = None,
        timeout: float | None = None,
    ) -> list[UploadOutcome]:
        """Store several documents, `concurrency` at a time; what became of each, in the order given.

        No failure of one ends another: each outcome has its result or the error that `upload` would have raised.
        `on_event` is called on the loop; what it raises is that one upload's error. `timeout` is for each. Cancelled,
        it cancels the uploads that are running, and waits for their end.
        """

        async def one(item: UploadItem) -> UploadResult:
            tell = None if on_event is None else (lambda event: on_event(item, event))
            return await self._upload(item, dedupe=dedupe, progress=None, on_event=tell, timeout=timeout)

        return await upload_each(one, sources, concurrency)

    async def resume(
        self,
        upload_id: str,
        source: AsyncSourceLike,
        *,
        sha256: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        on_event: Callable[[TransferEvent], None] | None = None,
        timeout: float | None = None,
    ) -> UploadResult:
        """Go on with a session from its durable size. `source` must give the document from its first byte.

        What is durable is not sent again, but read and hashed, so that the document as a whole is verified.
        Raises as `upload` does.
        """
        self._calls.core.usable()
        operation = self._calls.transfer(timeout, header_id(None))
        async with opened(source, self._calls.core.options) as readable:
            reporter = self._reporter(readable.source, progress, on_event)
            with telling(reporter), self._calls.core.spans.operation("resume", operation.request_id):
                spec = (await self.get_upload(upload_id, timeout=self._calls.core.time_left(operation.state))).spec
                reporter.started(spec.filename, spec.request_id)
                digest = sha256 or spec.sha256 or None
                return await self._run(readable, spec, digest, reporter, operation, upload_id=upload_id)

    async def get_upload(self, upload_id: str, *, timeout: float | None = None) -> Upload:
        """A session. Raises UploadNotFound."""
        request = uploads.GetUploadRequest(upload_id=upload_id)
        return _convert.upload((await self._calls.call(_policies.GET_UPLOAD, request, timeout=timeout)).upload)

    async def list_uploads(
        self, *, request_id: str | None = None, state: UploadState | None = None, page_size: int = 100
    ) -> AsyncGenerator[Upload, None]:
        """The caller's sessions, newest first, fetched page by page."""
        request = _requests.list_uploads(request_id, state, page_size)
        async for page in pages(self._calls, _policies.LIST_UPLOADS, request):
            for found in page.uploads:
                yield _convert.upload(found)

    async def cancel_upload(self, upload_id: str, *, timeout: float | None = None) -> Upload:
        """Give a session up; repeating it is fine. Raises UploadNotFound, UploadAlreadyCommitted."""
        request = uploads.CancelUploadRequest(upload_id=upload_id)
        return _convert.upload((await self._calls.call(_policies.CANCEL_UPLOAD, request, timeout=timeout)).upload)

    def watch_upload(self, upload_id: str, *, timeout: float | None = None) -> AsyncGenerator[Upload, None]:
        """A session as it is now, and then at every change of its state or durable size, until a final state.

        A broken connection is taken up; what was told already is not repeated. Raises UploadNotFound, and
        DeadlineExceeded after `timeout` seconds, where that is given.
        """
        return _events.watch_upload(self._calls, upload_id, timeout)

    async def check_digests(
        self, digests: Sequence[str], *, timeout: float | None = None
    ) -> dict[str, ExistingDigest]:
        """Of these digests, those that the caller has a document of."""
        found: dict[str, ExistingDigest] = {}
        for request in _requests.check_digests(digests):
            answer = await self._calls.call(_policies.CHECK_DIGESTS, request, timeout=timeout)
            found.update((item.sha256, _convert.existing(item)) for item in answer.existing)
        return found

    async def limits(self, *, timeout: float | None = None) -> Limits:
        """The bounds that the server sets."""
        answer = await self._calls.call(_policies.GET_LIMITS, uploads.GetLimitsRequest(), timeout=timeout)
        return _convert.limits(answer.limits)

    async def _upload(
        self,
        item: UploadItem,
        *,
        dedupe: Dedupe,
        progress: Callable[[Progress], None] | None,
        on_event: Callable[[TransferEvent], None] | None,
        timeout: float | None,
    ) -> UploadResult:
        self._calls.core.usable()
        options = self._calls.core.options
        async with opened(item.source, options) as readable:
            source, worker = readable.source, readable.worker
            plan = (
                UploadPlan(item, source, dedupe)
                if item.state_file is None
                else await worker.do(UploadPlan, item, source, dedupe)
            )
            operation = self._calls.transfer(timeout, header_id(plan.spec.request_id))
            reporter = self._reporter(source, progress, on_event)
            with telling(reporter), self._calls.core.spans.operation("upload", operation.request_id):
                reporter.started(plan.spec.filename, plan.spec.request_id)
                if plan.check_first:
                    with cancelling() as token:
                        digest = await worker.do(plan.digest, source, options.message_size, token)
                    found = await self.check_digests([digest], timeout=self._calls.core.time_left(operation.state))
                    for known in found.values():
                        plan.known(known.size)
                result = await self._run(
                    readable, plan.spec, plan.spec.sha256 or None, reporter, operation, ask_first=plan.ask_first
                )
            if item.state_file is not None:
                await worker.do(plan.done)
            return result

    def _reporter(
        self,
        source: Source,
        progress: Callable[[Progress], None] | None,
        on_event: Callable[[TransferEvent], None] | None,
    ) -> Reporter:
        interval = self._calls.core.options.progress_interval
        return Reporter(source.size, progress=progress, on_event=on_event, interval=interval)

    async def _run(
        self,
        readable: Opened,
        spec: UploadSpec,
        sha256: str | None,
        reporter: Reporter,
        operation: Operation,
        *,
        upload_id: str | None = None,
        ask_first: bool = False,
    ) -> UploadResult:
        options, state, source = self._calls.core.options, operation.state, readable.source
        run = new_run(options, state, source, spec, sha256, reporter, upload_id=upload_id, ask_first=ask_first)
        result = await Uploader(self._calls, run, operation, readable).run()
        reporter.finished(result)
        return result
