"""What must hold when a round is over, whatever was done in it. Both stores are read whole, past the servers.

as it was left       what is durable of unfinished sessions
everything expired,  one pass of the janitor without its comparison of the stores:
  outbox emptied       what is left over then was forgotten by whoever left it
compared             another pass: nothing is left over at all
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime

from ledgerlift_server.domain.models import Event, EventFilter, EventType
from ledgerlift_server.domain.upload_models import UploadState

from tests.faults.campaign.model import Model
from tests.support.databases import run_sql
from tests.support.invariants import OWNER, Found, all_sessions, clean_up, everything, opened
from tests.support.stores import EMBEDDED, Stores

PROBE = "/probe/"
"""In names of what a server makes, as it starts, to find out what its store can do. No row ever stands for it: of one
that is killed meanwhile only the comparison finds it."""
Landed = Callable[[str], datetime | None]
LISTED = 10_000
"""Of a store, at a time."""
_PARTS = """
    SELECT s.upload_id, s.persisted_size, s.part_count, count(p.number) AS parts, coalesce(sum(p.size), 0) AS size
    FROM sessions s LEFT JOIN parts p ON p.upload_id = s.upload_id
    WHERE s.state = 'ACTIVE' GROUP BY s.upload_id, s.persisted_size, s.part_count
"""


async def judge(
    stores: Stores, model: Model, heard: list[str], *, landed: Landed, orphans_are_late: bool
) -> list[str]:
    """A sentence for everything that does not hold. No server may run.

    `heard`: the trail as somebody heard it. `landed`: when an object came to be there, where that is known better
    than by its store. `orphans_are_late`: whoever compares the stores has been at work
    meanwhile, so that nothing can be said of what the outbox alone has to remove.
    """
    wrong = [
        f"{row['upload_id']} is durable to {row['persisted_size']} in {row['part_count']} parts, "
        f"its {row['parts']} parts have {row['size']}"
        for row in run_sql(stores.database_url, _PARTS)
        if (row["persisted_size"], row["part_count"]) != (int(row["size"]), row["parts"])
    ]
    _let_time_pass(stores)
    await clean_up(stores, drift=False)
    if not orphans_are_late:
        wrong += await _forgotten(stores, landed)
    await clean_up(stores)
    found = await everything(stores)
    events = await _trail(stores)
    wrong += found.problems()
    wrong += [f"multipart upload {one} is left" for one in sorted(found.multiparts)]
    wrong += _documents(found, model)
    wrong += _sessions(found, model)
    wrong += _events(found, events, model)
    if [event.event_id for event in events][: len(heard)] != heard:
        wrong.append(f"the trail of {len(events)} events is not what a listener heard, {len(heard)} events")
    return wrong


def _let_time_pass(stores: Stores) -> None:
    """All that the janitor waits for: also what is due in the future, because the database's clock was ahead."""
    for statement in (
        "UPDATE sessions SET expire_time = LONG_AGO WHERE state = 'ACTIVE'",
        "UPDATE sessions SET update_time = LONG_AGO WHERE state = 'COMMITTING'",
        "UPDATE removals SET due_time = LONG_AGO",
    ):
        long_ago = "0" if stores.kind == EMBEDDED else "to_timestamp(0)"
        run_sql(stores.database_url, statement.replace("LONG_AGO", long_ago))


async def _forgotten(stores: Stores, landed: Landed) -> list[str]:
    """What only a comparison of the stores can find, though whoever ended the session could have written it down.

    An object that came after its session's end is nobody's fault: a server that was frozen or cut off had it on its
    way. Nor is a multipart upload that no row has ever named.
    """
    async with opened(stores) as core:
        sessions = {session.object_name: session for session in await all_sessions(core)}
        objects: list[tuple[str, datetime]] = []
        page = await core.store.list_objects(after=None, limit=LISTED)
        objects += page.names
        while page.next_after is not None:
            page = await core.store.list_objects(after=page.next_after, limit=LISTED)
            objects += page.names
        multiparts = await core.store.list_multiparts(limit=LISTED)
    kept = {row["object_name"] for row in run_sql(stores.database_url, "SELECT object_name FROM blobs")}
    wrong = []
    for name, told in objects:
        since = landed(name) or told
        session = sessions.get(name) or sessions.get(name.rpartition(".")[0])
        if name not in kept and PROBE not in name and (session is None or since <= session.update_time):
            wrong.append(f"object {name} of {since} is left over and in no outbox; its session: {session}")
    for one in multiparts:
        if PROBE in one.name:
            continue
        session = sessions.get(one.name)
        if session is None or session.multipart_id == one.multipart_id:
            wrong.append(f"multipart upload {one} is left over and in no outbox; its session: {session}")
    return wrong


def _documents(found: Found, model: Model) -> Iterator[str]:
    there = {document.document_id: document for document in found.documents}
    for document_id, told in model.told.items():
        document = there.get(document_id)
        if document is None and document_id not in model.deleting:
            yield f"{told} was acknowledged and is gone"
        elif document is not None and document_id in model.deleted:
            yield f"{told} was deleted and is there"
        elif document is not None and document.sha256 != told.sha256:
            yield f"{told} has become {document}"
    makers = defaultdict(list)
    for session in found.sessions:
        if session.state is UploadState.COMMITTED and not session.duplicate:
            makers[session.document_id].append(session)
    for document in found.documents:
        sessions = makers[document.document_id]
        if len(sessions) != 1:
            yield f"{len(sessions)} sessions have made {document}"
            continue
        intent = model.intents.get(sessions[0].spec.request_id or "")
        if intent is None or not intent.finished or document.sha256 not in intent.digests:
            yield f"nobody has finished an upload of {document}; what was sent: {intent}"


def _sessions(found: Found, model: Model) -> Iterator[str]:
    made: dict[str, set[str | None]] = defaultdict(set)
    for session in found.sessions:
        request_id = session.spec.request_id or ""
        intent = model.intents.get(request_id)
        if session.state is UploadState.COMMITTED:
            made[request_id].add(session.document_id)
            if intent is None or not intent.finished:
                yield f"{session} is committed, and nobody has finished it"
        if not session.state.final:
            yield f"{session.upload_id} is {session.state} after the janitor"
        if session.upload_id in model.cancelled and session.state is not UploadState.CANCELLED:
            yield f"{session.upload_id} was cancelled and is {session.state}"
        if session.persisted_size < model.durable.get(session.upload_id, 0):
            yield f"{session} has less than the {model.durable[session.upload_id]} bytes that were told"
    yield from (
        f"{request_id} has made the documents {sorted(map(str, ids))}"
        for request_id, ids in made.items()
        if len(ids) > 1
    )


async def _trail(stores: Stores) -> list[Event]:
    async with opened(stores) as core:
        page = await core.documents.list_events(OWNER, EventFilter(), page_size=1_000_000, page_token="")
        assert not page.next_token
        return list(page.items)


def _events(found: Found, events: list[Event], model: Model) -> Iterator[str]:
    """Of each document: made first and once, then from status to status without a gap, removed last and once."""
    by_document: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.document_id is not None:
            by_document[event.document_id].append(event)
    there = {document.document_id: document for document in found.documents}
    for document_id in {*there, *model.told, *by_document}:
        trail = by_document[document_id]
        said = [event.type for event in trail]
        if said[:1] != [EventType.DOCUMENT_CREATED] or said.count(EventType.DOCUMENT_CREATED) != 1:
            yield f"the trail of {document_id} begins with {said}"
        gone = said.count(EventType.DOCUMENT_DELETED)
        if gone != (document_id not in there) or (gone and said[-1] != EventType.DOCUMENT_DELETED):
            yield f"the trail of {document_id} ends with {said}; there: {document_id in there}"
        status = "UPLOADED"
        changes = [event for event in trail if event.type == EventType.STATUS_CHANGED]
        for event in changes:
            if event.from_status != status:
                yield f"in the trail of {document_id}, {event.from_status} follows {status}"
            status = str(event.to_status)
        if document_id in there and there[document_id].status != status:
            yield f"{there[document_id]} is {status} by its trail"
        reached = [str(event.to_status) for event in changes]
        for wanted, told in model.statuses.get(document_id, {}).items():
            if not told <= reached.count(wanted) <= 1:
                yield f"{document_id} became {wanted} {reached.count(wanted)} times, acknowledged: {told}"
