"""What must hold of the two stores together, whatever was killed or cut: found out by reading both of them whole.

Read through the ports, and past them only for rows that no port tells of. Nothing of the janitor's own way of
finding orphans is used to judge whether it left any.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ledgerlift_server.adapters.sql import SqlMaintenance
from ledgerlift_server.core import Core, built, start
from ledgerlift_server.domain.drift import DriftFinder
from ledgerlift_server.domain.janitor import Janitor, JanitorOptions, JanitorReport
from ledgerlift_server.domain.models import Document, DocumentFilter, EventFilter, EventType
from ledgerlift_server.domain.store_port import NoSuchObject
from ledgerlift_server.domain.upload_models import UploadFilter, UploadSession, UploadState

from tests.support.databases import run_sql
from tests.support.stores import Stores

OWNER = "anonymous"
"""Whose everything is without authentication."""
PAGE = 200
WEEK = 7 * 24 * 3600.0
UNFINISHED = (UploadState.ACTIVE, UploadState.COMMITTING)


@dataclass(frozen=True, slots=True)
class Found:
    """All that the two stores hold. `digests` are those of the objects' bytes, by object; `parts` are `(rows, bytes)`
    by session; `removals` counts the outbox, what is not due yet included; `created` counts the events that say so.
    """

    documents: tuple[Document, ...]
    sessions: tuple[UploadSession, ...]
    digests: Mapping[str, str]
    multiparts: frozenset[tuple[str, str]]
    parts: Mapping[str, tuple[int, int]]
    blobs: Mapping[str, int]
    removals: int
    created: Mapping[str, int]

    @property
    def objects(self) -> frozenset[str]:
        """Names of the visible objects."""
        return frozenset(self.digests)

    def session_of(self, request_id: str) -> UploadSession | None:
        """The session of this request id; there is never more than one live one."""
        found = [session for session in self.sessions if session.spec.request_id == request_id]
        assert len(found) <= 1, found
        return found[0] if found else None

    def problems(self) -> list[str]:
        """A sentence for each thing that is not whole, or that nothing stands for. Empty is right."""
        return [*self._damaged_documents(), *self._wrong_counts(), *self._orphans(), *self._wrong_sessions()]

    def _damaged_documents(self) -> Iterator[str]:
        for document in self.documents:
            digest = self.digests.get(document.object_name)
            if digest != document.sha256:
                yield f"document {document.document_id} of {document.sha256} has an object of {digest}"
            if self.created.get(document.document_id) != 1:
                yield f"document {document.document_id} was created {self.created.get(document.document_id, 0)} times"

    def _wrong_counts(self) -> Iterator[str]:
        used = Counter(document.object_name for document in self.documents)
        if used != self.blobs:
            yield f"documents use {dict(used)}, blobs count {dict(self.blobs)}"

    def _orphans(self) -> Iterator[str]:
        """An unfinished session stands for a single object of each of its epochs, and for its multipart; for any of
        its name as long as none is recorded: a server may have stopped between making it and writing it down."""
        held = {document.object_name for document in self.documents}
        multiparts: dict[str, str | None] = {}
        for session in self.sessions:
            if session.state in UNFINISHED:
                held |= {session.put_name(epoch) for epoch in range(1, session.epoch + 1)}
                multiparts[session.object_name] = session.multipart_id
        yield from (f"object {name} belongs to nothing" for name in sorted(self.objects - held))
        for name, multipart_id in self.multiparts:
            if name not in multiparts or multiparts[name] not in (None, multipart_id):
                yield f"multipart upload {multipart_id} of {name} belongs to nothing"
        if self.removals:
            yield f"{self.removals} entries are left in the outbox"

    def _wrong_sessions(self) -> Iterator[str]:
        known = {session.upload_id for session in self.sessions}
        yield from (f"parts of {upload_id}, which is no session" for upload_id in self.parts.keys() - known)
        for session in self.sessions:
            count, size = self.parts.get(session.upload_id, (0, 0))
            if session.state is UploadState.ACTIVE and (count, size) != (session.part_count, session.persisted_size):
                yield f"upload {session.upload_id} is durable to {session.persisted_size}, its parts to {size}"
            if session.state is UploadState.COMMITTING:
                yield f"upload {session.upload_id} is still COMMITTING"


@asynccontextmanager
async def opened(stores: Stores) -> AsyncIterator[Core]:
    """The parts of a server, without a server."""
    settings = stores.settings
    async with built(settings) as core:
        await start(core, settings)
        yield core


async def everything(stores: Stores) -> Found:
    """Read both stores whole, the bytes of every object included."""
    async with opened(stores) as core:
        documents = await _documents(core)
        events = await core.documents.list_events(OWNER, EventFilter(), page_size=100_000, page_token="")
        return Found(
            documents=documents,
            sessions=await all_sessions(core),
            digests={name: await _digest(core, name) for name in await _objects(core)},
            multiparts=frozenset(
                (one.name, one.multipart_id) for one in await core.store.list_multiparts(limit=100_000)
            ),
            parts={
                row["upload_id"]: (row["count"], int(row["size"]))
                for row in run_sql(
                    stores.database_url,
                    "SELECT upload_id, count(*) AS count, sum(size) AS size FROM parts GROUP BY upload_id",
                )
            },
            blobs={
                row["object_name"]: row["documents"]
                for row in run_sql(stores.database_url, "SELECT object_name, documents FROM blobs")
            },
            removals=run_sql(stores.database_url, "SELECT count(*) AS count FROM removals")[0]["count"],
            created=Counter(
                event.document_id
                for event in events.items
                if event.type == EventType.DOCUMENT_CREATED and event.document_id is not None
            ),
        )


async def clean_up(stores: Stores, *, keep_ended: bool = True, drift: bool = True) -> JanitorReport:
    """One pass of the janitor, drift included, as if every time that it waits for had passed.

    `keep_ended=False`: the time for which ended sessions are remembered as well. `drift=False`: the stores are not
    compared, so that it has only what was written down for it.
    """
    # The lease of a server that was killed runs out by itself, after two minutes.
    run_sql(stores.database_url, "DELETE FROM leases")
    async with opened(stores) as core:
        maintenance = SqlMaintenance(core.database)
        janitor = Janitor(
            maintenance,
            core.store,
            core.committer,
            DriftFinder(maintenance, core.store, orphan_age=0.0),
            JanitorOptions(commit_idle=0.0, keep_ended=WEEK if keep_ended else 0.0),
            holder="test",
        )
        report = await janitor.run_once(drift=drift)
        await janitor.close()
    assert report is not None, "nobody else holds the lease"
    if drift:
        assert report.drift is not None
        assert report.drift.complete
    return report


async def tidied(stores: Stores) -> Found:
    """Everything, after the janitor's outbox: whole, and without anything that only its comparison could find."""
    report = await clean_up(stores)
    assert report.drift is not None
    assert (report.drift.orphan_objects, report.drift.orphan_multiparts) == (0, 0)
    found = await everything(stores)
    assert found.problems() == []
    assert found.multiparts == frozenset()
    return found


async def expire_all(stores: Stores) -> None:
    """Nobody comes back: the lifetime of every session passes."""
    run_sql(stores.database_url, "UPDATE sessions SET expire_time = create_time WHERE state = 'ACTIVE'")


async def until_outbox_is_empty(stores: Stores, *, patience: float = 30.0) -> None:
    """A running server's janitor tries again by itself, some seconds apart."""
    async with asyncio.timeout(patience):
        while run_sql(stores.database_url, "SELECT 1 FROM removals"):  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.05)


async def _documents(core: Core) -> tuple[Document, ...]:
    found: list[Document] = []
    token = ""
    while True:
        page = await core.documents.list(OWNER, DocumentFilter(), page_size=PAGE, page_token=token)
        found += page.items
        token = page.next_token
        if not token:
            return tuple(found)


async def all_sessions(core: Core) -> tuple[UploadSession, ...]:
    """Page by page."""
    found: list[UploadSession] = []
    token = ""
    while True:
        page = await core.ledger.list(OWNER, UploadFilter(), page_size=PAGE, page_token=token)
        found += page.items
        token = page.next_token
        if not token:
            return tuple(found)


async def _objects(core: Core) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        page = await core.store.list_objects(after=after, limit=PAGE)
        found += [name for name, _ in page.names]
        after = page.next_after
        if after is None:
            return found


async def _digest(core: Core, name: str) -> str:
    hasher = hashlib.sha256()
    offset = 0
    while True:
        try:
            block = await core.store.read(name, offset, 8 * 1024 * 1024)
        except NoSuchObject:
            return "an object that cannot be read"
        if not block:
            return hasher.hexdigest()
        hasher.update(block)
        offset += len(block)
