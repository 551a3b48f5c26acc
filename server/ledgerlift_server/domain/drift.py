"""Compares the store with the database: what only one of the two knows of.

An object that nothing stands for is queued for removal. A multipart upload is aborted here and now: the outbox
would remove the object of its name as well, and that may be a document whose session began a second multipart
upload after a crash. A document whose object is missing or
of another size cannot be cleaned up, only reported: it is the worst that an operator can be told.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledgerlift_server.domain.ledger_port import Maintenance
from ledgerlift_server.domain.object_names import is_ours
from ledgerlift_server.domain.steps import Checkpoint, Step, no_checkpoint
from ledgerlift_server.domain.store_port import NoSuchMultipart, NoSuchObject, ObjectStore

logger = logging.getLogger(__name__)

BATCH = 200
"""Rows or objects looked at in one step."""
MULTIPARTS = 10_000
"""Unfinished multipart uploads looked at in one comparison. Those of running sessions count, and not every store
lists the oldest first."""
NAMED_DOCUMENTS = 20
"""Ids that the log names of one missing object; only copies (CREATE_NEW) make it more than one."""


@dataclass(slots=True)
class DriftReport:
    """What one comparison found. Each number is a metric; `complete` is False where it was broken off."""

    orphan_multiparts: int = 0
    orphan_objects: int = 0
    missing_objects: int = 0
    complete: bool = False


class DriftFinder:
    """Looks at multipart uploads, at every object and at every blob once."""

    def __init__(
        self,
        maintenance: Maintenance,
        store: ObjectStore,
        *,
        orphan_age: float,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """What is younger than `orphan_age` seconds is never taken for an orphan: a session may be making it."""
        self._maintenance = maintenance
        self._store = store
        self._orphan_age = orphan_age
        self._checkpoint = checkpoint

    async def look(self, still_mine: Callable[[], Awaitable[bool]], report: DriftReport | None = None) -> DriftReport:
        """Compare, step by step, for as long as `still_mine` says that the lease is held.

        `report` is filled in as things are found, so that its owner has it also when the rest fails.
        """
        report = DriftReport() if report is None else report
        await self._orphan_multiparts(report)
        report.complete = await self._orphan_objects(report, still_mine) and await self._missing_objects(
            report, still_mine
        )
        if report.orphan_multiparts or report.orphan_objects:
            facts = {"multiparts": report.orphan_multiparts, "objects": report.orphan_objects}
            logger.warning("orphans_found", extra=facts)
        return report

    async def _orphan_multiparts(self, report: DriftReport) -> None:
        old = [
            (found.name, found.multipart_id)
            for found in await self._store.list_multiparts(limit=MULTIPARTS)
            if is_ours(found.name) and self._is_old(found.initiated)
        ]
        for first in range(0, len(old), BATCH):
            some = old[first : first + BATCH]
            for name, multipart_id in set(some) - set(await self._maintenance.known_multiparts(some)):
                with suppress(NoSuchMultipart):
                    await self._store.abort_multipart(name, multipart_id)
                self._checkpoint(Step.ORPHAN_ABORTED)
                logger.info("orphan_multipart_aborted", extra={"object": name, "multipart_id": multipart_id})
                report.orphan_multiparts += 1

    async def _orphan_objects(self, report: DriftReport, still_mine: Callable[[], Awaitable[bool]]) -> bool:
        after: str | None = None
        while await still_mine():
            page = await self._store.list_objects(after=after, limit=BATCH)
            old = [name for name, modified in page.names if is_ours(name) and self._is_old(modified)]
            known = set(await self._maintenance.known_objects(old)) if old else set()
            for name in old:
                if name not in known:
                    await self._maintenance.queue_removal(name, None)
                    self._checkpoint(Step.ORPHAN_QUEUED)
                    logger.info("orphan_object_queued", extra={"object": name})
                    report.orphan_objects += 1
            after = page.next_after
            if after is None:
                return True
        return False

    async def _missing_objects(self, report: DriftReport, still_mine: Callable[[], Awaitable[bool]]) -> bool:
        after: str | None = None
        while await still_mine():
            blobs = await self._maintenance.blob_objects(after=after, limit=BATCH)
            if not blobs:
                return True
            for name in await self._absent(blobs):
                on_it = await self._maintenance.documents_on(name, limit=NAMED_DOCUMENTS)
                if on_it is None:
                    continue  # deleted meanwhile, and the object with the last of them
                report.missing_objects += 1
                # By its documents as well: an object's name says nothing to an owner, nor to the API.
                facts = {"object": name, "owner": on_it[0], "documents": list(on_it[1])}
                logger.error("stored_object_missing", extra=facts)
            after = blobs[-1][0]
        return False

    async def _absent(self, blobs: Sequence[tuple[str, int]]) -> list[str]:
        absent: list[str] = []
        for name, size in blobs:
            try:
                info = await self._store.stat(name)
            except NoSuchObject:
                absent.append(name)
            else:
                if info.size != size:
                    absent.append(name)
        return absent

    def _is_old(self, moment: datetime) -> bool:
        return datetime.now(UTC) - moment >= timedelta(seconds=self._orphan_age)
