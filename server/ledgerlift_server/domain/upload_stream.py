"""The upload protocol: one Upload call, from its first message to a document or a durable offset.

The rules are DESIGN section 4. What must never break: the end of a stream is not success (rule 1). An
aborted stream often looks like a normal end, so nothing but a `finish` message leads to `_finish`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ledgerlift_server import errors
from ledgerlift_server.domain.answer_time import AnswerTime
from ledgerlift_server.domain.commit import Committer
from ledgerlift_server.domain.content_port import ContentInspector
from ledgerlift_server.domain.digest_port import Hasher, HasherFactory
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.models import Document
from ledgerlift_server.domain.part_pipeline import PartPipeline
from ledgerlift_server.domain.pipeline_tools import PipelineTools
from ledgerlift_server.domain.session_pulses import SessionPulses
from ledgerlift_server.domain.session_rules import refusal
from ledgerlift_server.domain.steps import Step
from ledgerlift_server.domain.store_port import StoreAnswer
from ledgerlift_server.domain.stream_position import StreamPosition
from ledgerlift_server.domain.upload_message import MessageSource, UploadMessage
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    Published,
    Receipt,
    Sealed,
    SessionPulse,
    UploadSession,
    UploadState,
)
from ledgerlift_server.domain.upload_options import UploadOptions


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

    def __init__(self, session: UploadSession, first: UploadMessage, tools: StreamTools, answer: AnswerTime) -> None:
        """`first` is the message that named the session; its data has not been looked at yet."""
        self.session = session
        self._first: UploadMessage | None = first
        self._tools = tools
        self._answer = answer
        self._position = StreamPosition(
            session,
            begins_at=session.persisted_size if isinstance(first.target, str) else 0,
            crc32c=tools.pipeline.crc32c,
            max_size=tools.options.max_document_size,
            facts=self._facts,
        )
        self._committing = False
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
            on_durable=lambda: tools.pulses.moved(session.upload_id),
            on_failure=self.interrupt,
        )

    def interrupt(self, why: StopReason | BaseException) -> None:
        """End whatever wait the stream is in: to drain, or because something failed. The first reason counts."""
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
                    stopped = await self._take(message)
                    if stopped is not None:
                        return await self._stop(stopped)
                    if message.finish:
                        published = await self._finish(message)
                        return Committed(published.document, published.session.duplicate, published.session.receipt)
        except StoreAnswer as answer:
            raise await self._why_refused() from answer
        except (errors.TryLater, errors.DeadlineExceeded) as error:
            error.metadata = self._facts() | error.metadata  # where to go on
            raise
        except (errors.ContentTypeMismatch, errors.DocumentTooLarge) as error:
            if not self._committing:  # the commit has done it
                await self._fail_session(error)
            raise
        finally:
            if not self._committing:
                self._pipeline.abandon()

    async def _next(self, source: MessageSource) -> UploadMessage | StopReason:
        first, self._first = self._first, None
        if first is not None:
            return first
        read = source.pending()
        if not read.done() and not self._interrupt.done():
            stall, left = self._tools.options.stall_timeout, self._answer.to_stop()
            patience = stall if left is None else min(stall, left)
            waited_for: set[asyncio.Future[Any]] = {read, self._interrupt}
            await asyncio.wait(waited_for, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not read.done() and not self._interrupt.done():
                return StopReason.DEADLINE if left is not None and left < stall else StopReason.STALLED
        if self._interrupt.done():
            return self._interruption()
        message = source.take()
        return StopReason.SEGMENT_END if message is None else message

    async def _take(self, message: UploadMessage) -> StopReason | None:
        """Take the message in; a reason when the stream is to stop before that was possible."""
        data = self._position.advance(message)
        if not data:
            return None
        if self._pipeline.fits(len(data)):
            await self._pipeline.write(data, still_to_come=self._still_to_come(message, data))
            return None
        # Waiting for memory or for the store has no stall clock, but it does not outlast a drain or the deadline.
        writing = asyncio.create_task(self._pipeline.write(data, still_to_come=self._still_to_come(message, data)))
        try:
            waited_for: set[asyncio.Future[Any]] = {writing, self._interrupt}
            await asyncio.wait(waited_for, timeout=self._answer.to_stop(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not writing.done():
                writing.cancel()
                await asyncio.wait({writing})
            elif not writing.cancelled():
                writing.exception()  # looked at below, unless this call is cancelled
        if not writing.cancelled():
            writing.result()
            return None
        return self._interruption() if self._interrupt.done() else StopReason.DEADLINE

    def _interruption(self) -> StopReason:
        why = self._interrupt.result()
        if isinstance(why, StopReason):
            return why
        raise why

    def _still_to_come(self, message: UploadMessage, data: memoryview) -> int | None:
        if self.session.spec.size is not None:
            return self.session.spec.size - (self._position.end - len(data))
        return len(data) if message.finish else None

    def _admit_head(self, head: memoryview) -> None:
        spec = self.session.spec
        conflict = self._tools.inspector.conflict(spec.content_type, bytes(head), spec.filename)
        if conflict is not None:
            raise errors.ContentTypeMismatch(conflict, metadata=self._facts())

    async def _finish(self, message: UploadMessage) -> Published:
        declared_digests = self._position.finish(message)
        self._committing = True  # the pipeline belongs to the commit now, whatever becomes of this call
        commit = self._tools.committer.own(self.session.upload_id, self._commit(declared_digests))
        await asyncio.wait({commit}, timeout=self._answer.to_stop())
        if not commit.done():  # it goes on in any case
            raise errors.UploadCommitting(f"upload {self.session.upload_id} is being published; ask GetUpload")
        return commit.result()

    async def _commit(self, declared_digests: frozenset[str]) -> Published:
        def check(digest: str | None) -> None:
            wrong = declared_digests - {digest} if digest is not None else frozenset()
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
        if sealed.size != self._position.end:  # rule 1, once more at the last possible moment
            raise RuntimeError(f"{sealed.size} bytes were sealed, {self._position.end} were received")
        plan = self._plan(sealed, declared_digests)
        self._tools.pipeline.checkpoint(Step.SEALED)
        published = await (self._commit_put(plan) if plan.single_put else self._commit_parts(sealed, plan))
        self._tools.pulses.nudge(session.upload_id)
        self._tools.on_removals()
        return published

    async def _commit_put(self, plan: CommitPlan) -> Published:
        try:
            return await self._tools.committer.publish_put(self.session, plan)
        except (errors.UploadCancelled, errors.UploadExpired):
            # It was stored when what the session had left was removed already.
            with suppress(errors.LedgerLiftError):
                await self._tools.pipeline.store.delete(plan.object_name)
            raise

    async def _commit_parts(self, sealed: Sealed, plan: CommitPlan) -> Published:
        session, committer = self.session, self._tools.committer
        try:
            await self._tools.ledger.begin_commit(session.upload_id, session.epoch, sealed.persisted_size, plan)
        except (errors.DependencyUnavailable, errors.DeadlineExceeded) as unknown:
            # Only the answer may have been lost: then it is COMMITTING.
            committer.drive_later(session.upload_id, session.owner, unknown)
            raise
        return await committer.publish(session.upload_id, session.owner)

    def _plan(self, sealed: Sealed, declared_digests: frozenset[str]) -> CommitPlan:
        return CommitPlan(
            size=sealed.size,
            sha256=sealed.sha256,
            object_name=sealed.single_put or self.session.object_name,
            single_put=sealed.single_put is not None,
            tail=sealed.unrecorded,
            receipt=self._receipt(max(1, sealed.part_count), sealed.sha256 or ""),
            declared_sha256=next(iter(declared_digests), None),
        )

    async def _stop(self, reason: StopReason) -> Stopped:
        limit = self._answer.to_answer()
        if reason is not StopReason.SEGMENT_END:  # else the client has ended its segment, and wants all of it durable
            settle_timeout = self._tools.options.settle_timeout
            limit = settle_timeout if limit is None else min(limit, settle_timeout)
        durable = await self._pipeline.settle(limit)
        parts = self._pipeline.persisted_parts
        session = replace(self.session, persisted_size=durable, part_count=parts)
        return Stopped(session, reason, self._receipt(parts))

    def _receipt(self, part_count: int, sha256: str = "") -> Receipt:
        return Receipt(self._position.received, self._position.skipped, part_count, sha256)

    def _on_pulse(self, pulse: SessionPulse) -> None:
        if pulse.epoch > self.session.epoch or pulse.state in (UploadState.EXPIRED, UploadState.FAILED):
            now = replace(self.session, epoch=pulse.epoch, state=pulse.state, persisted_size=pulse.persisted_size)
            self.interrupt(refusal(now, self.session.epoch))

    async def _fail_session(self, error: errors.LedgerLiftError) -> None:
        await self._tools.ledger.fail(self.session.upload_id, error, epoch=self.session.epoch)
        self._tools.pipeline.checkpoint(Step.UPLOAD_FAILED)
        self._tools.pulses.nudge(self.session.upload_id)
        self._tools.on_removals()

    async def _why_refused(self) -> errors.LedgerLiftError:
        """The multipart upload is gone under a running stream: somebody ended the session, or the store lost it."""
        now = await self._tools.ledger.get(self.session.owner, self.session.upload_id)
        if now.state is not UploadState.ACTIVE or now.epoch != self.session.epoch:
            return refusal(now, self.session.epoch)
        # Going on is of no use, for what is acknowledged as durable is not there. A lifecycle rule of the bucket
        # that aborts unfinished uploads does this.
        error = errors.StoredObjectCorrupt(
            "the object store has lost the stored parts; begin a new upload", metadata=self._facts()
        )
        await self._fail_session(error)
        return error

    def _facts(self, **more: object) -> dict[str, str]:
        facts = {"upload_id": self.session.upload_id, "persisted_size": str(self._pipeline.persisted_size)}
        return facts | {name: str(value) for name, value in more.items()}
