"""The upload protocol: one Upload call, from its first message to a document or a durable offset.

The rules are DESIGN section 4. What must never break: the end of a stream is not success (rule 1). An
aborted stream often looks like a normal end, so nothing but a `finish` message leads to `_finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ledgerlift_server import errors
from ledgerlift_server.domain.commit import Committer
from ledgerlift_server.domain.content_port import ContentInspector
from ledgerlift_server.domain.digest_port import Hasher, HasherFactory
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.models import Document
from ledgerlift_server.domain.part_pipeline import PartPipeline, PipelineTools, Sealed
from ledgerlift_server.domain.session_pulses import SessionPulses
from ledgerlift_server.domain.session_rules import refusal
from ledgerlift_server.domain.store_port import StoreAnswer
from ledgerlift_server.domain.upload_message import MessageSource, UploadMessage
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    Published,
    Receipt,
    SessionPulse,
    UploadSession,
    UploadState,
)
from ledgerlift_server.domain.upload_options import UploadOptions
from ledgerlift_server.resilience.deadline import current_deadline


class StopReason(Enum):
    """Why an accepted stream ended without committing."""

    SEGMENT_END = "the stream ended without finish_write"
    DRAINING = "the server is shutting down"
    STALLED = "no message came for the stall time"
    DEADLINE = "the call's deadline was near"


@dataclass(frozen=True, slots=True)
class Committed:
    """The document exists. A replay carries the receipt of the call that committed."""

    document: Document
    duplicate: bool
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing was committed; `session.persisted_size` bytes are durable."""

    session: UploadSession
    reason: StopReason
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class StreamTools:
    """What every stream works with; one instance for the whole server."""

    ledger: UploadLedger
    committer: Committer
    pulses: SessionPulses
    hashers: HasherFactory
    inspector: ContentInspector
    pipeline: PipelineTools
    options: UploadOptions
    on_removals: Callable[[], None]


class SessionStream:
    """One stream that holds one ACTIVE session at one epoch."""

    def __init__(self, session: UploadSession, first: UploadMessage, tools: StreamTools) -> None:
        """`first` is the message that named the session; its data has not been looked at yet."""
        self.session = session
        self._first: UploadMessage | None = first
        self._tools = tools
        self._position = session.persisted_size if isinstance(first.target, str) else 0
        self._started = False
        self._committing = False
        self._received = 0
        self._skipped = 0
        self._interrupt: asyncio.Future[StopReason | BaseException] = asyncio.get_running_loop().create_future()
        hasher: Hasher | None = tools.hashers.new()
        if session.persisted_size > 0:
            state = session.sha_state
            hasher = tools.hashers.restore(state, session.persisted_size) if state is not None else None
        self._pipeline = PartPipeline(
            session,
            hasher,
            tools.pipeline,
            admit_head=self._admit_head,
            on_durable=lambda: tools.pulses.nudge(session.upload_id),
            on_failure=self.interrupt,
        )

    def interrupt(self, why: StopReason | BaseException) -> None:
        """End the wait for the next message: to drain, or because something failed. The first reason counts."""
        if not self._interrupt.done():
            self._interrupt.set_result(why)

    async def run(self, source: MessageSource) -> Committed | Stopped:
        """Take messages until the document is committed or the stream ends. Raises any LedgerLiftError."""
        try:
            with self._tools.pulses.follow(self.session.upload_id, self._on_pulse):
                while True:
                    message = await self._next(source)
                    if isinstance(message, StopReason):
                        return await self._stop(message)
                    await self._take(message)
                    if message.finish:
                        published = await self._finish(message)
                        return Committed(published.document, published.session.duplicate, published.session.receipt)
        except StoreAnswer as answer:
            # The multipart upload is gone under a running stream: somebody ended the session.
            raise await self._why_refused() from answer
        except (errors.ContentTypeMismatch, errors.DocumentTooLarge) as error:
            await self._fail_session(error)
            raise
        finally:
            if not self._committing:
                self._pipeline.abandon()

    def receipt(self, sha256: str = "") -> Receipt:
        """What this stream has received so far."""
        return Receipt(self._received, self._skipped, self._pipeline.part_count, sha256)

    async def _next(self, source: MessageSource) -> UploadMessage | StopReason:
        first, self._first = self._first, None
        if first is not None:
            return first
        read = source.pending()
        if not read.done() and not self._interrupt.done():
            stall = self._tools.options.stall_timeout
            deadline = current_deadline()
            left = None if deadline is None else deadline.remaining() - self._tools.options.deadline_margin
            patience = stall if left is None else max(0.0, min(stall, left))
            waited_for: set[asyncio.Future[Any]] = {read, self._interrupt}
            await asyncio.wait(waited_for, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not read.done() and not self._interrupt.done():
                return StopReason.DEADLINE if left is not None and left < stall else StopReason.STALLED
        if self._interrupt.done():
            why = self._interrupt.result()
            if isinstance(why, StopReason):
                return why
            raise why
        message = source.take()
        return StopReason.SEGMENT_END if message is None else message

    async def _take(self, message: UploadMessage) -> None:
        if message.target is not None and self._started:
            raise errors.InvalidRequest(
                [errors.FieldViolation("target", "only the first message of a stream names a session")]
            )
        data = message.data
        self._received += len(data)
        self._check_crc(message)
        self._check_offset(message)
        end = self._position + len(data)
        self._check_bounds(end)
        skip = min(len(data), max(0, self._pipeline.accepted_size - self._position))
        self._skipped += skip
        self._position = end
        self._started = True
        if skip < len(data):
            await self._pipeline.write(data[skip:], still_to_come=self._still_to_come(message, skip))

    def _check_crc(self, message: UploadMessage) -> None:
        if message.crc32c is None:
            return
        computed = self._tools.pipeline.crc32c(message.data)
        if computed != message.crc32c:
            raise errors.ChecksumMismatch(
                f"the CRC-32C of {len(message.data)} bytes at offset {self._position} is {computed:#010x}, "
                f"declared was {message.crc32c:#010x}",
                metadata=self._facts(offset=self._position),
            )

    def _check_offset(self, message: UploadMessage) -> None:
        if message.offset is None:
            return
        if message.offset < 0:
            raise errors.InvalidRequest([errors.FieldViolation("write_offset", "must be 0 or more")])
        durable = self.session.persisted_size
        if not self._started and message.offset <= durable:
            self._position = message.offset
        elif message.offset != self._position or not self._started:
            expected = self._position if self._started else durable
            raise errors.OffsetGap(
                f"the message begins at {message.offset}, expected was {expected}",
                metadata=self._facts(expected_offset=expected),
            )

    def _check_bounds(self, end: int) -> None:
        declared, limit = self.session.spec.size, self._tools.options.max_document_size
        if declared is not None and end > declared:
            raise errors.SizeMismatch(
                f"{end} bytes were sent, declared were {declared}", metadata=self._facts(declared_size=declared)
            )
        if end > limit:
            raise errors.DocumentTooLarge(
                f"the document is larger than {limit} bytes", metadata=self._facts(limit=limit)
            )

    def _still_to_come(self, message: UploadMessage, skip: int) -> int | None:
        if self.session.spec.size is not None:
            return self.session.spec.size - self._pipeline.accepted_size
        return len(message.data) - skip if message.finish else None

    def _admit_head(self, head: memoryview) -> None:
        spec = self.session.spec
        conflict = self._tools.inspector.conflict(spec.content_type, bytes(head), spec.filename)
        if conflict is not None:
            raise errors.ContentTypeMismatch(conflict, metadata=self._facts())

    async def _finish(self, message: UploadMessage) -> Published:
        sizes = {size for size in (self.session.spec.size, message.size) if size is not None}
        if sizes - {self._position} or self._position < self.session.persisted_size:
            declared = ", ".join(map(str, sorted(sizes))) or "none"
            raise errors.SizeMismatch(
                f"the document ends after {self._position} bytes; declared: {declared}; durable: "
                f"{self.session.persisted_size}",
                metadata=self._facts(received_size=self._position),
            )
        declared_digests = {digest for digest in (self.session.spec.sha256, message.sha256) if digest}
        self._committing = True  # the pipeline belongs to the commit now, whatever becomes of this call
        work = self._commit(declared_digests)
        waiting = asyncio.ensure_future(self._tools.committer.own(self.session.upload_id, work))
        return await within_deadline(waiting, self.session.upload_id, self._tools.options.deadline_margin)

    async def _commit(self, declared_digests: set[str]) -> Published:
        def check(digest: str | None) -> None:
            wrong = declared_digests - {digest} if digest is not None else set()
            if wrong or len(declared_digests) > 1:
                raise errors.ChecksumMismatch(
                    f"the document's SHA-256 is {digest}, declared was {', '.join(sorted(declared_digests))}",
                    metadata=self._facts(computed=digest or ""),
                )

        session = self.session
        try:
            sealed = await self._pipeline.seal(check)
        except (errors.ChecksumMismatch, errors.ContentTypeMismatch) as error:
            await self._fail_session(error)
            raise
        finally:
            self._pipeline.abandon()
        if sealed.size != self._position:  # rule 1, once more at the last possible moment
            raise RuntimeError(f"{sealed.size} bytes were sealed, {self._position} were received")
        plan = self._plan(sealed, declared_digests)
        await self._tools.ledger.begin_commit(session.upload_id, session.epoch, sealed.persisted_size, plan)
        published = await self._tools.committer.publish(session.upload_id, session.owner)
        self._tools.pulses.nudge(session.upload_id)
        self._tools.on_removals()
        return published

    def _plan(self, sealed: Sealed, declared_digests: set[str]) -> CommitPlan:
        receipt = replace(self.receipt(sealed.sha256 or ""), part_count=max(1, sealed.part_count))
        return CommitPlan(
            size=sealed.size,
            sha256=sealed.sha256,
            object_name=sealed.single_put or self.session.object_name,
            single_put=sealed.single_put is not None,
            tail=sealed.unrecorded,
            receipt=receipt,
            declared_sha256=next(iter(declared_digests), None),
        )

    async def _stop(self, reason: StopReason) -> Stopped:
        durable = await self._pipeline.settle()
        session = replace(self.session, persisted_size=durable, part_count=self._pipeline.part_count)
        return Stopped(session, reason, self.receipt())

    def _on_pulse(self, pulse: SessionPulse) -> None:
        if pulse.epoch > self.session.epoch or pulse.state in (UploadState.EXPIRED, UploadState.FAILED):
            self.interrupt(refusal(replace(self.session, epoch=pulse.epoch, state=pulse.state)))

    async def _fail_session(self, error: errors.LedgerLiftError) -> None:
        await self._tools.ledger.fail(self.session.upload_id, error, epoch=self.session.epoch)
        self._tools.pulses.nudge(self.session.upload_id)
        self._tools.on_removals()

    async def _why_refused(self) -> errors.LedgerLiftError:
        now = await self._tools.ledger.get(self.session.owner, self.session.upload_id)
        if now.state is UploadState.ACTIVE and now.epoch == self.session.epoch:
            return errors.DependencyUnavailable("the object store lost the upload's parts")
        return refusal(now, self.session.epoch)

    def _facts(self, **more: object) -> dict[str, str]:
        facts = {"upload_id": self.session.upload_id, "persisted_size": str(self._pipeline.persisted_size)}
        return facts | {name: str(value) for name, value in more.items()}


async def within_deadline(
    work: asyncio.Future[Published] | Coroutine[Any, Any, Published], upload_id: str, margin: float
) -> Published:
    """The outcome of a commit, or UploadCommitting when the call's deadline comes first; the commit goes on."""
    task = asyncio.ensure_future(work)
    deadline = current_deadline()
    patience = None if deadline is None else max(0.0, deadline.remaining() - margin)
    await asyncio.wait({task}, timeout=patience)
    if not task.done():
        raise errors.UploadCommitting(
            f"upload {upload_id} is being published; ask GetUpload", metadata={"upload_id": upload_id}
        )
    return task.result()
