"""From the stored parts of a session to its one object, which is seen before anybody says that it is there.

complete ─> OK, and the object is there ──────────────────────────> done
         ├─> OK, and it is not (yet) ──────────────────────────────> again later, in the end never
         ├─> no such multipart: done before, if the object is there ─> done | never
         └─> other ETags: the same bytes, put once more ─────────────> complete with the listed ones
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.steps import Checkpoint, Step
from ledgerlift_server.domain.store_port import InvalidPart, NoSuchMultipart, NoSuchObject, ObjectStore
from ledgerlift_server.domain.upload_models import StoredPart, UploadSession
from ledgerlift_server.errors import DependencyUnavailable

UNSEEN_FOR = timedelta(minutes=15)
"""How long a commit may be under way without the object that the store says is complete. Whoever still puts it
together has done so by then, or never will. By this server's clock: where that is ahead, something that nobody was
told of is given up too early."""


class NeverWhole(Exception):
    """The parts cannot become the object any more; why, as the end of a sentence."""


class Completion:
    """Completes multipart uploads of COMMITTING sessions. Idempotent, and on several servers at once."""

    def __init__(self, ledger: UploadLedger, store: ObjectStore, checkpoint: Checkpoint) -> None:
        """`checkpoint` is told before the store is asked."""
        self._ledger = ledger
        self._store = store
        self._checkpoint = checkpoint

    async def complete(self, session: UploadSession, multipart_id: str) -> None:
        """Return when the object is visible and durable. Raises NeverWhole, and DependencyUnavailable: not yet."""
        parts = await self._ledger.parts(session.upload_id)
        self._checkpoint(Step.BEFORE_COMPLETE)
        try:
            await self._store.complete_multipart(session.object_name, multipart_id, parts)
        except NoSuchMultipart:
            await self._confirm(session)
        except InvalidPart:
            await self._complete_replaced(session, multipart_id, parts)
        else:
            await self._see(session)

    async def _see(self, session: UploadSession) -> None:
        """The store says that it is done. It is believed when the object is there.

        versitygw 1.8 says so as well while another call still puts the object together, and for ever where it was
        killed over that: it was published, and there was nothing.
        """
        if await self._is_there(session):
            return
        if datetime.now(UTC) - session.update_time < UNSEEN_FOR:
            raise DependencyUnavailable("the store has not made the object yet that it says is complete")
        raise NeverWhole("the store says that the object is complete, and it is not there")

    async def _confirm(self, session: UploadSession) -> None:
        """The multipart is gone: fine if it became exactly this object."""
        if not await self._is_there(session):
            raise NeverWhole("the stored parts are gone and no object took their place")

    async def _is_there(self, session: UploadSession) -> bool:
        try:
            info = await self._store.stat(session.object_name)
        except NoSuchObject:
            return False
        return info.size == session.final_size and info.token == session.upload_id

    async def _complete_replaced(
        self, session: UploadSession, multipart_id: str, parts: Sequence[StoredPart]
    ) -> None:
        """A late write of a fenced holder replaced an acknowledged part: fine if the bytes are the same."""
        try:
            stored = await self._store.list_parts(session.object_name, multipart_id)
        except NoSuchMultipart:
            return await self._confirm(session)  # another replica completed it meanwhile
        listed = {part.number: part for part in stored}
        replaced: list[StoredPart] = []
        for part in parts:
            now = listed.get(part.number)
            if now is None or (now.size, now.crc32c) != (part.size, part.crc32c):
                raise NeverWhole(f"part {part.number} was replaced by other bytes")
            replaced.append(now)
        try:
            await self._store.complete_multipart(session.object_name, multipart_id, replaced)
        except NoSuchMultipart:
            return await self._confirm(session)
        except InvalidPart as still:
            raise DependencyUnavailable("a fenced stream is still writing; the commit is tried again") from still
        return await self._see(session)
