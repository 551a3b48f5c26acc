"""From COMMITTING to a published document (DESIGN section 4 rule 7). Idempotent at every step.

    ledger row ─> parts ─> COMMITTING ─> complete on the store ─> document + event + COMMITTED ─> answer

A commit belongs to the server, not to the call that asked for it: a client that leaves cannot cancel
half of it. COMMITTING only rolls forward; after a crash the janitor drives it again from the ledger.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from ledgerlift_server.domain.digest_port import HasherFactory
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.part_pipeline import Offload
from ledgerlift_server.domain.session_rules import refusal
from ledgerlift_server.domain.store_port import InvalidPart, NoSuchMultipart, NoSuchObject, ObjectStore
from ledgerlift_server.domain.upload_models import Published, StoredPart, UploadSession, UploadState
from ledgerlift_server.errors import (
    ChecksumMismatch,
    DependencyUnavailable,
    LedgerLiftError,
    StoredObjectCorrupt,
)
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

logger = logging.getLogger(__name__)

READ_BACK_BLOCK = 8 * 1024 * 1024
"""Bytes read at a time where a digest has to be computed from the stored object."""

Checkpoint = Callable[[str], None]


def no_checkpoint(step: str) -> None:
    """What a running server does at a named step of the commit: nothing. Crash tests kill it there."""


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
    ) -> None:
        """`timeout` in seconds bounds one drive; `checkpoint` is told the name of each step as it is reached."""
        self._ledger = ledger
        self._store = store
        self._hashers = hashers
        self._offload = offload
        self._timeout = timeout
        self._checkpoint = checkpoint
        self._running: dict[str, asyncio.Task[Published]] = {}

    async def own(self, upload_id: str, work: Coroutine[Any, Any, Published]) -> Published:
        """Run `work`, which ends in a commit, as the server's own. Cancelling this call does not cancel it."""
        task = asyncio.create_task(self._bounded(work))
        self._running[upload_id] = task
        task.add_done_callback(lambda done: self._ended(upload_id, done))
        return await asyncio.shield(task)

    async def drive(self, session: UploadSession) -> Published:
        """Carry a COMMITTING session on to its end. Raises what refuses or delays it."""
        running = self._running.get(session.upload_id)
        if running is not None:
            return await asyncio.shield(running)
        return await self.own(session.upload_id, self.publish(session.upload_id, session.owner))

    async def publish(self, upload_id: str, owner: str) -> Published:
        """The steps after COMMITTING. To be run under `own`."""
        self._checkpoint("committing")
        session = await self._ledger.get(owner, upload_id)
        if session.state is UploadState.COMMITTING:
            if session.multipart_id is not None and session.final_object == session.object_name:
                await self._complete(session, session.multipart_id)
            self._checkpoint("completed")
            sha256 = session.final_sha256 or await self._read_back(session)
        elif session.state is UploadState.COMMITTED and session.final_sha256 is not None:
            sha256 = session.final_sha256
        else:
            raise refusal(session)
        published = await self._ledger.publish(upload_id, sha256)
        self._checkpoint("published")
        return published

    async def close(self) -> None:
        """Wait for the running commits; their own timeout bounds the wait."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def _bounded(self, work: Coroutine[Any, Any, Published]) -> Published:
        with deadline_scope(Deadline.after(self._timeout), detached=True):
            return await work

    def _ended(self, upload_id: str, task: asyncio.Task[Published]) -> None:
        if self._running.get(upload_id) is task:
            del self._running[upload_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            reason = error.reason if isinstance(error, LedgerLiftError) else type(error).__name__
            logger.warning("commit_stopped", extra={"upload_id": upload_id, "reason": reason})

    async def _complete(self, session: UploadSession, multipart_id: str) -> None:
        parts = await self._ledger.parts(session.upload_id)
        self._checkpoint("before_complete")
        try:
            await self._store.complete_multipart(session.object_name, multipart_id, parts)
        except NoSuchMultipart:
            await self._confirm_completed(session)
        except InvalidPart:
            await self._complete_replaced(session, multipart_id, parts)

    async def _confirm_completed(self, session: UploadSession) -> None:
        """The multipart is gone: fine if it became exactly this object."""
        try:
            info = await self._store.stat(session.object_name)
        except NoSuchObject:
            info = None
        if info is None or info.size != session.final_size or info.token != session.upload_id:
            await self._give_up(session, "the stored parts are gone and no object took their place")

    async def _complete_replaced(
        self, session: UploadSession, multipart_id: str, parts: Sequence[StoredPart]
    ) -> None:
        """A late write of a fenced holder replaced an acknowledged part: fine if the bytes are the same."""
        try:
            stored = await self._store.list_parts(session.object_name, multipart_id)
        except NoSuchMultipart:
            return await self._confirm_completed(session)  # another replica completed it meanwhile
        listed = {part.number: part for part in stored}
        replaced: list[StoredPart] = []
        for part in parts:
            now = listed.get(part.number)
            if now is None or (now.size, now.crc32c) != (part.size, part.crc32c):
                await self._give_up(session, f"part {part.number} was replaced by other bytes")
            replaced.append(now)
        try:
            await self._store.complete_multipart(session.object_name, multipart_id, replaced)
        except NoSuchMultipart:
            await self._confirm_completed(session)
        except InvalidPart as still:
            raise DependencyUnavailable("a fenced stream is still writing; the commit is tried again") from still
        return None

    async def _read_back(self, session: UploadSession) -> str:
        """The digest of what is stored, where the hash state was lost over a resume."""
        assert session.final_object is not None and session.final_size is not None
        hasher = self._hashers.new()
        offset = 0
        while offset < session.final_size:
            try:
                block = await self._store.read(
                    session.final_object, offset, min(READ_BACK_BLOCK, session.final_size - offset)
                )
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
            await self._ledger.fail(session.upload_id, error, epoch=None)
            raise error
        return digest

    async def _give_up(self, session: UploadSession, why: str) -> NoReturn:
        error = StoredObjectCorrupt(
            f"upload {session.upload_id} cannot be published: {why}", metadata={"upload_id": session.upload_id}
        )
        await self._ledger.fail(session.upload_id, error, epoch=None)
        raise error
