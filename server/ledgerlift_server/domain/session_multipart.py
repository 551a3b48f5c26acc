"""The one multipart upload of a session: begun with its first part, found again by everybody who goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.steps import Checkpoint, Step, no_checkpoint
from ledgerlift_server.domain.store_port import NoSuchMultipart, ObjectStore
from ledgerlift_server.domain.upload_models import UploadSession
from ledgerlift_server.errors import LedgerLiftError, PreconditionFailed, UploadCommitting, UploadSuperseded


class SessionMultipart:
    """What the parts of one stream share."""

    def __init__(
        self,
        session: UploadSession,
        store: ObjectStore,
        ledger: UploadLedger,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """Nothing is begun yet."""
        self._session = session
        self._store = store
        self._ledger = ledger
        self._checkpoint = checkpoint
        self._opening: asyncio.Task[str] | None = None

    async def id(self) -> str:
        """The store's id. Whoever asks first begins it, and leaving does not stop it for the others."""
        if self._session.multipart_id is not None:
            return self._session.multipart_id
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> str:
        session = self._session
        made = await self._store.create_multipart(session.object_name, token=session.upload_id)
        self._checkpoint(Step.MULTIPART_CREATED)
        try:
            kept = await self._ledger.attach_multipart(session.upload_id, session.epoch, made)
        except (UploadSuperseded, UploadCommitting, PreconditionFailed):
            await self._abort(made)  # surely not recorded; after any other failure it may be
            raise
        self._checkpoint(Step.MULTIPART_ATTACHED)
        if kept != made:
            await self._abort(made)
        return kept

    async def _abort(self, multipart_id: str) -> None:
        """Where that fails, the drift comparison finds it."""
        with suppress(NoSuchMultipart, LedgerLiftError):
            await self._store.abort_multipart(self._session.object_name, multipart_id)
