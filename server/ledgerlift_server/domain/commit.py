"""From COMMITTING to a published document (DESIGN section 4 rule 7). Idempotent at every step.

    ledger row ─> parts ─> COMMITTING ─> complete on the store ─> document + event + COMMITTED ─> answer

A commit belongs to the server, not to the call that asked for it: a client that leaves cannot cancel
half of it. COMMITTING only rolls forward; after a crash the janitor drives it again from the ledger. A document
below one part needs none of it: see `publish_put`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from ledgerlift_server.domain.completion import Completion, NeverWhole
from ledgerlift_server.domain.digest_port import HasherFactory
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.offload_port import Offload
from ledgerlift_server.domain.session_rules import refusal
from ledgerlift_server.domain.spans import NO_SPANS, Spans
from ledgerlift_server.domain.steps import Checkpoint, Step, no_checkpoint
from ledgerlift_server.domain.store_port import NoSuchObject, ObjectStore
from ledgerlift_server.domain.upload_models import CommitPlan, Published, UploadSession, UploadState
from ledgerlift_server.domain.upload_tally import CommitTally
from ledgerlift_server.errors import (
    ChecksumMismatch,
    CircuitOpen,
    DeadlineExceeded,
    DependencyUnavailable,
    LedgerLiftError,
    Overloaded,
    StoredObjectCorrupt,
)
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

logger = logging.getLogger(__name__)

READ_BACK_BLOCK = 8 * 1024 * 1024
"""Bytes read at a time where a digest has to be computed from the stored object."""

AGAIN_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds after which a commit that the store or the database has delayed is driven again, each in turn. Callers wait
for it: left to the janitor, half a second without a store cost them a minute and a half (measured)."""

DELAYS = (DependencyUnavailable, CircuitOpen, Overloaded, DeadlineExceeded)
"""What a commit is tried again after. The deadline is the commit's own."""


class _PublishedElsewhere(Exception):
    """Another replica was faster; `sha256` is what it published."""

    def __init__(self, sha256: str) -> None:
        super().__init__(sha256)
        self.sha256 = sha256


class Committer:
    """Drives sessions from COMMITTING to their end, each at most once at a time in this process."""

    def __init__(
        self,
        ledger: UploadLedger,
        store: ObjectStore,
        hashers: HasherFactory,
        offload: Offload,
        *,
        timeout: float,
        checkpoint: Checkpoint = no_checkpoint,
        spans: Spans = NO_SPANS,
    ) -> None:
        """`timeout` in seconds bounds one drive, and of one that reads the object back each block of it.

        `checkpoint` is told each step as it is reached.
        """
        self._ledger = ledger
        self._store = store
        self._completion = Completion(ledger, store, checkpoint)
        self._hashers = hashers
        self._offload = offload
        self._timeout = timeout
        self._checkpoint = checkpoint
        self._spans = spans
        self.tally = CommitTally()
        self._driving: dict[str, asyncio.Task[Published]] = {}
        self._running: set[asyncio.Task[Published]] = set()
        self._delays: dict[str, int] = {}
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._closing = False

    def own(self, upload_id: str, work: Coroutine[Any, Any, Published]) -> asyncio.Task[Published]:
        """Run `work`, which ends in a commit, as the server's own: whoever waits for it does not cancel it."""
        task = asyncio.create_task(self._bounded(upload_id, work))
        self._driving[upload_id] = task
        self._running.add(task)  # also where a newer holder of the session takes the entry above
        task.add_done_callback(lambda done: self._ended(upload_id, done))
        return task

    def drive(self, session: UploadSession) -> asyncio.Task[Published]:
        """Carry a COMMITTING session on to its end. The task raises what refuses or delays it."""
        running = self._driving.get(session.upload_id)
        if running is not None:
            return running
        return self.own(session.upload_id, self.publish(session.upload_id, session.owner))

    def drive_later(self, upload_id: str, owner: str, delay: LedgerLiftError) -> None:
        """Drive a commit that may have begun, and met `delay`, after a pause. After the last, the janitor does it.

        A breaker that is open says when it will let calls through, and its refusal is no attempt: nothing was asked.
        """
        if upload_id in self._later:
            return
        delays = self._delays.pop(upload_id, 0)
        refused = isinstance(delay, CircuitOpen)
        if self._closing or (delays == len(AGAIN_AFTER) and not refused):
            return
        if refused:
            pause = max(AGAIN_AFTER[0], delay.retry_after or 0.0)
        else:
            pause = AGAIN_AFTER[delays]
            delays += 1
        self._delays[upload_id] = delays
        loop = asyncio.get_running_loop()
        self._later[upload_id] = loop.call_later(pause, self._drive_again, upload_id, owner)

    async def publish_put(self, session: UploadSession, plan: CommitPlan) -> Published:
        """Publish a document that one PutObject has stored. To be run under `own`. Raises what the ledger raises.

        There is nothing to complete, so that one transaction carries it from ACTIVE to COMMITTED (ADR 0022). Where
        that is not known to have held nothing is driven on: the session is as it was, or it is COMMITTED.
        """
        done = await self._ledger.commit_put(session.upload_id, session.epoch, plan)
        self.tally.add(done.document.size, duplicate=done.session.duplicate)
        self._checkpoint(Step.PUBLISHED)
        return done

    async def publish(self, upload_id: str, owner: str) -> Published:
        """The steps after COMMITTING. To be run under `own`. What delays them is raised, and they are tried again."""
        try:
            done = await self._publish(upload_id, owner)
        except DELAYS as delay:
            self.drive_later(upload_id, owner, delay)
            raise
        except BaseException:
            self._delays.pop(upload_id, None)
            raise
        self._delays.pop(upload_id, None)
        return done

    async def _publish(self, upload_id: str, owner: str) -> Published:
        self._checkpoint(Step.COMMITTING)
        session = await self._ledger.get(owner, upload_id)
        if session.state is UploadState.COMMITTING:
            try:
                sha256 = await self._store_whole(session)
            except _PublishedElsewhere as published:
                sha256 = published.sha256
        elif session.state is UploadState.COMMITTED and session.final_sha256 is not None:
            sha256 = session.final_sha256
        else:
            raise refusal(session)
        with self._time_limit():
            done = await self._ledger.publish(upload_id, sha256)
        if session.state is UploadState.COMMITTING:
            self.tally.add(done.document.size, duplicate=done.session.duplicate)
        self._checkpoint(Step.PUBLISHED)
        return done

    async def close(self) -> None:
        """Wait for the running commits; their own timeout bounds the wait. What was to be tried again is left."""
        self._closing = True
        for timer in self._later.values():
            timer.cancel()
        await self.idle()

    async def idle(self) -> None:
        """Return when no commit is running."""
        while self._running:
            await asyncio.wait(self._running)

    def _drive_again(self, upload_id: str, owner: str) -> None:
        del self._later[upload_id]
        if upload_id not in self._driving:
            self.own(upload_id, self.publish(upload_id, owner))

    def _time_limit(self) -> AbstractContextManager[Deadline]:
        return deadline_scope(Deadline.after(self._timeout), detached=True)

    async def _bounded(self, upload_id: str, work: Coroutine[Any, Any, Published]) -> Published:
        with self._time_limit(), self._spans.work("commit", upload_id=upload_id):
            return await work

    def _ended(self, upload_id: str, task: asyncio.Task[Published]) -> None:
        self._running.discard(task)
        if self._driving.get(upload_id) is task:
            del self._driving[upload_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = error.reason if isinstance(error, LedgerLiftError) else type(error).__name__
            # A breaker has told already that it is open; each session that waits for it need not.
            level = logging.DEBUG if isinstance(error, CircuitOpen) else logging.WARNING
            logger.log(level, "commit_stopped", extra={"upload_id": upload_id, "reason": reason})

    async def _store_whole(self, session: UploadSession) -> str:
        """The digest of the session's object, which is visible and durable afterwards."""
        if session.multipart_id is not None and session.final_object == session.object_name:
            try:
                await self._completion.complete(session, session.multipart_id)
            except NeverWhole as never:
                await self._give_up(session, str(never))
        self._checkpoint(Step.COMPLETED)
        return session.final_sha256 or await self._read_back(session)

    async def _read_back(self, session: UploadSession) -> str:
        """The digest of what is stored, where the hash state was lost over a resume."""
        assert session.final_object is not None and session.final_size is not None
        hasher = self._hashers.new()
        offset = 0
        while offset < session.final_size:
            length = min(READ_BACK_BLOCK, session.final_size - offset)
            try:
                with self._time_limit():
                    block = await self._store.read(session.final_object, offset, length)
            except NoSuchObject:
                block = b""
            if not block:
                await self._give_up(session, f"the stored object ends after {offset} bytes")
            await self._offload(hasher.update, memoryview(block))
            offset += len(block)
        digest = hasher.hexdigest()
        if session.spec.sha256 is not None and digest != session.spec.sha256:
            error = ChecksumMismatch(
                f"the document's SHA-256 is {digest}, declared was {session.spec.sha256}",
                metadata={"upload_id": session.upload_id, "computed": digest},
            )
            await self._fail(session, error)
        return digest

    async def _give_up(self, session: UploadSession, why: str) -> NoReturn:
        error = StoredObjectCorrupt(
            f"upload {session.upload_id} cannot be published: {why}", metadata={"upload_id": session.upload_id}
        )
        await self._fail(session, error)

    async def _fail(self, session: UploadSession, error: LedgerLiftError) -> NoReturn:
        """Unless another replica has published it meanwhile, and removed the object since, as a duplicate's."""
        with self._time_limit():
            now = await self._ledger.fail(session.upload_id, error, epoch=None)
        if now.state is UploadState.COMMITTED and now.final_sha256 is not None:
            raise _PublishedElsewhere(now.final_sha256)
        raise error
