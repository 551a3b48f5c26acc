"""Everything that a server ever asks of its database, once: every method of every repository, and what it left."""

from __future__ import annotations

import inspect
from typing import Any, cast

from ledgerlift_server.adapters.sql import Database, SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import DocumentFilter, EventFilter, ProcessingStatus
from ledgerlift_server.domain.upload_models import CommitPlan, DuplicatePolicy, Receipt, UploadFilter, UploadState
from ledgerlift_server.errors import ChecksumMismatch

from tests.support.uploads import (
    PART_SIZE,
    caller,
    committing_session,
    digest,
    open_session,
    parts,
    publish,
    single_put,
)

OWNER = "alice"


class _Noting:
    """Stands before a repository, and notes which of its methods are called."""

    def __init__(self, repository: Any) -> None:
        self._repository = repository
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self._repository, name)

    def never_called(self) -> set[str]:
        """Of its public methods."""
        kind = type(self._repository)
        public = {name for name, _ in inspect.getmembers(kind, inspect.iscoroutinefunction) if name[0] != "_"}
        return {f"{kind.__name__}.{name}" for name in public - self.called}


async def live(database: Database) -> None:
    """Sessions and documents of all kinds, looked for in all ways, and cleaned up after; some of each stay.

    Fails where an answer is not as it has to be, or where a repository has a method that is not used here.
    """
    noting = [_Noting(kind(database)) for kind in (SqlUploadLedger, SqlDocuments, SqlMaintenance)]
    ledger, documents = cast(SqlUploadLedger, noting[0]), cast(SqlDocuments, noting[1])
    maintenance = cast(SqlMaintenance, noting[2])
    whole = await _in_parts(ledger)
    small = await publish(ledger, b"small", request_id="r-1", key="k/1", metadata={"a": "b"})
    assert await ledger.get_with_document(OWNER, small.session.upload_id) == (small.session, small.document)
    copy = await publish(ledger, b"small", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    session = await open_session(ledger)
    again = await ledger.commit_put(session.upload_id, session.epoch, single_put(session, b"small"))
    assert again.session.duplicate
    assert again.document in (small.document, copy.document)
    await _endings(ledger, maintenance)
    await _documents(documents, small.document.document_id, copy.document.document_id)
    listed = await documents.list(OWNER, DocumentFilter(), page_size=10, page_token="")
    assert {document.document_id for document in listed.items} == {whole, small.document.document_id}
    assert await maintenance.count_documents() == (await documents.stats(OWNER)).total
    await _janitor(maintenance)
    unused = set().union(*(one.never_called() for one in noting))
    assert unused == set(), f"use them here: {unused}"


async def _in_parts(ledger: SqlUploadLedger) -> str:
    session = await open_session(ledger)
    taken = await ledger.take(OWNER, session.upload_id)
    assert await ledger.attach_multipart(session.upload_id, taken.epoch, "mp-1") == "mp-1"
    await ledger.record_parts(session.upload_id, taken.epoch, 0, parts(1, 2), b"state")
    assert (await ledger.pulse([session.upload_id]))[session.upload_id].persisted_size == 2 * PART_SIZE
    (tail,) = parts(3, 1, size=10)
    size = 2 * PART_SIZE + tail.size
    plan = CommitPlan(size, None, session.object_name, False, (tail,), Receipt(size, 0, 3, ""), None)
    await ledger.begin_commit(session.upload_id, taken.epoch, 2 * PART_SIZE, plan)
    assert list(await ledger.parts(session.upload_id)) == [*parts(1, 2), tail]
    return (await ledger.publish(session.upload_id, digest(b"in parts"))).document.document_id


async def _endings(ledger: SqlUploadLedger, maintenance: SqlMaintenance) -> None:
    """A session in every state."""
    failing, cancelled, active = [await open_session(ledger) for _ in range(3)]
    await ledger.record_parts(active.upload_id, 1, 0, parts(1, 1), None)
    await ledger.fail(failing.upload_id, ChecksumMismatch("another digest"), epoch=1)
    await ledger.cancel(caller(), cancelled.upload_id)
    expired = await open_session(ledger, lifetime=-1.0)
    assert await maintenance.expire_due(limit=10) == 1
    committing = await committing_session(ledger, b"not yet")
    (idle,) = await maintenance.committing(idle=0.0, limit=10)
    assert idle.upload_id == committing.upload_id
    found = await ledger.list(OWNER, UploadFilter(), page_size=100, page_token="")
    assert {session.state for session in found.items} == set(UploadState)
    assert (await ledger.get(OWNER, expired.upload_id)).state is UploadState.EXPIRED


async def _documents(documents: SqlDocuments, document_id: str, second: str) -> None:
    moved = await documents.set_status(caller(), document_id, ProcessingStatus.PROCESSING, "", "k-1")
    assert await documents.get(OWNER, document_id) == moved
    event = await documents.record_event(caller(), document_id, "scanned", {"pages": "3"}, "k-2")
    trail = await documents.list_events(OWNER, EventFilter(document_id=document_id), page_size=10, page_token="")
    assert event in trail.items
    followed = await documents.events_after(OWNER, EventFilter(document_id=document_id), "", limit=10)
    assert {one.event_id for one in followed} <= {one.event_id for one in trail.items}
    narrow = DocumentFilter(status=ProcessingStatus.PROCESSING, content_type="text/plain", key_prefix="k/")
    (found,) = (await documents.list(OWNER, narrow, page_size=10, page_token="")).items
    assert found == moved
    assert digest(b"small") in await documents.find_digests(OWNER, [digest(b"small"), digest(b"none")])
    await documents.delete(caller(), second)


async def _janitor(maintenance: SqlMaintenance) -> None:
    assert await maintenance.acquire_lease("janitor", "replica", 60.0)
    await maintenance.queue_removal("objects/stray", "mp-9")
    waiting = await maintenance.due_removals(limit=10)
    assert await maintenance.count_removals(limit=10) == len(waiting)
    for number, removal in enumerate(waiting):
        if number:
            await maintenance.removal_failed(removal.removal_id, retry_after=60.0)
        else:
            await maintenance.removal_done(removal.removal_id)
    blobs = await maintenance.blob_objects(after=None, limit=10)
    names = [name for name, _ in blobs]
    assert set(await maintenance.known_objects([*names, "objects/unknown"])) == set(names)
    assert not await maintenance.known_multiparts([("objects/unknown", "mp-8")])
    assert await maintenance.forget_ended(older_than=0.0, limit=1) == 1
    holder = await maintenance.lease_holder("janitor")
    assert holder is not None
    assert holder[0] == "replica"
    assert await maintenance.documents_on("objects/unknown", limit=10) is None
    on_it = await maintenance.documents_on(names[0], limit=10)
    assert on_it is not None
    assert on_it[0] == OWNER
    await maintenance.release_lease("janitor", "replica")
    assert await maintenance.acquire_lease("janitor", "next replica", 60.0)
