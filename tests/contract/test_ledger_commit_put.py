"""A small document from ACTIVE to its end in one transaction: what `begin_commit` and `publish` do in two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import SqlDocuments, SqlMaintenance, SqlUploadLedger
from ledgerlift_server.domain.models import Document, EventFilter
from ledgerlift_server.domain.upload_models import DuplicatePolicy, Published, UploadSession, UploadState
from ledgerlift_server.errors import (
    Conflict,
    LedgerLiftError,
    UploadAlreadyCommitted,
    UploadCancelled,
    UploadSuperseded,
)

from tests.support.databases import Sql
from tests.support.uploads import (
    caller,
    committing_session,
    digest,
    new_session,
    open_session,
    parts,
    publish,
    single_put,
)

Commit = Callable[[SqlUploadLedger, UploadSession, bytes], Any]


async def at_once(ledger: SqlUploadLedger, session: UploadSession, data: bytes) -> Published:
    """One transaction."""
    return await ledger.commit_put(session.upload_id, session.epoch, single_put(session, data))


async def in_two_steps(ledger: SqlUploadLedger, session: UploadSession, data: bytes) -> Published:
    """By COMMITTING."""
    await ledger.begin_commit(session.upload_id, session.epoch, 0, single_put(session, data))
    return await ledger.publish(session.upload_id, digest(data))


def _without_ids(session: UploadSession) -> dict[str, Any]:
    own = ("upload_id", "owner", "object_name", "final_object", "document_id", "spec", "error_message")
    times = ("create_time", "update_time", "expire_time")
    return {name: getattr(session, name) for name in UploadSession.__slots__ if name not in own + times} | {
        "final_object": session.final_object == session.put_name(1),
        "document": session.document_id is not None,
        "spec": replace(session.spec, request_id=None),
    }


def _told(document: Document | None) -> dict[str, Any] | None:
    own = ("document_id", "owner", "object_name", "create_time", "update_time")
    return document and {name: getattr(document, name) for name in Document.__slots__ if name not in own}


async def _life(
    ledger: SqlUploadLedger,
    documents: SqlDocuments,
    maintenance: SqlMaintenance,
    owner: str,
    commit: Commit,
    data: bytes,
    **declared: Any,
) -> list[Any]:
    """All that can be seen of an upload that meets one that was faster."""
    opened = await ledger.open(new_session(owner, request_id="r", metadata={"a": "1"}, **declared), caller(owner))
    await publish(ledger, b"data", owner, key="k")
    session = opened.session
    seen: list[Any] = []
    try:
        done = await commit(ledger, session, data)
        seen += [_without_ids(done.session), _told(done.document)]
    except Conflict as refused:
        seen += [type(refused), refused.resource is not None]
    now, document = await ledger.get_with_document(owner, session.upload_id)
    seen += [_without_ids(now), _told(document)]
    trail = await documents.events_after(owner, EventFilter(upload_id=session.upload_id), "", limit=10)
    seen += [(event.type, event.detail.get("reason"), event.detail.get("sha256")) for event in trail]
    removals = await maintenance.due_removals(limit=1000)
    seen.append([name == session.put_name(1) for name in (one.object_name for one in removals)])
    for one in removals:
        await maintenance.removal_done(one.removal_id)
    return seen


@pytest.mark.parametrize("policy", DuplicatePolicy)
@pytest.mark.parametrize("key", [None, "k", "free"])
@pytest.mark.parametrize("data", [b"data", b"other"])
async def test_the_end_is_that_of_two_steps(
    ledger: SqlUploadLedger,
    documents: SqlDocuments,
    maintenance: SqlMaintenance,
    sql: Sql,
    policy: DuplicatePolicy,
    key: str | None,
    data: bytes,
) -> None:
    """Under every policy, of new bytes and of known ones, with keys that are free and that are taken."""
    declared = {"duplicate_policy": policy, "key": key}
    two = await _life(ledger, documents, maintenance, "alice", in_two_steps, data, **declared)
    one = await _life(ledger, documents, maintenance, "bob", at_once, data, **declared)
    assert one == two
    counts = sql("SELECT owner, sha256, size, documents FROM blobs ORDER BY sha256, owner")
    by_owner = {
        owner: [{**row, "owner": ""} for row in counts if row["owner"] == owner] for owner in ("alice", "bob")
    }
    assert by_owner["alice"] == by_owner["bob"]


async def test_only_its_holder_commits(ledger: SqlUploadLedger, documents: SqlDocuments, sql: Sql) -> None:
    """A fenced one, one whose session was given up, and one that has committed already make no document."""
    session = await open_session(ledger)
    taken = await ledger.take("alice", session.upload_id)
    with pytest.raises(UploadSuperseded):
        await at_once(ledger, session, b"data")
    assert await ledger.get("alice", session.upload_id) == taken
    assert sql("SELECT * FROM blobs") == sql("SELECT * FROM documents") == []
    await at_once(ledger, taken, b"data")
    with pytest.raises(UploadAlreadyCommitted):
        await at_once(ledger, taken, b"data")
    given_up = await open_session(ledger)
    await ledger.cancel(caller(), given_up.upload_id)
    with pytest.raises(UploadCancelled):
        await at_once(ledger, given_up, b"other")
    in_parts = await open_session(ledger)
    await ledger.record_parts(in_parts.upload_id, 1, 0, parts(1, 1), None)
    with pytest.raises(UploadSuperseded):
        await at_once(ledger, in_parts, b"other")
    assert sql("SELECT count(*) AS n FROM documents") == [{"n": 1}]


async def test_what_earlier_holders_may_have_left_is_queued(
    ledger: SqlUploadLedger, maintenance: SqlMaintenance
) -> None:
    """Each epoch's object, but the one that was published."""
    session = await open_session(ledger)
    held = await ledger.take("alice", session.upload_id)
    await at_once(ledger, held, b"data")
    assert {one.object_name for one in await maintenance.due_removals(limit=10)} == {session.put_name(1)}


async def test_one_of_many_commits(ledger: SqlUploadLedger, sql: Sql) -> None:
    """20 of the same holder at once: one document, and the others are told."""
    session = await open_session(ledger)
    outcomes = await asyncio.gather(*(at_once(ledger, session, b"data") for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(one, Published) for one in outcomes) == 1
    assert sum(isinstance(one, UploadAlreadyCommitted) for one in outcomes) == 19
    assert sql("SELECT count(*) AS n FROM documents") == [{"n": 1}]


async def test_the_same_bytes_by_both_ways_at_once(ledger: SqlUploadLedger, sql: Sql) -> None:
    """20 sessions, every other one by COMMITTING: one document is made, and the others are answered with it."""
    waiting = [await committing_session(ledger, b"same") for _ in range(10)]
    active = [await open_session(ledger) for _ in range(10)]
    outcomes: list[Published] = await asyncio.gather(
        *(ledger.publish(session.upload_id, digest(b"same")) for session in waiting),
        *(at_once(ledger, session, b"same") for session in active),
    )
    assert len({one.document.document_id for one in outcomes}) == 1
    assert sum(not one.session.duplicate for one in outcomes) == 1
    assert sql("SELECT documents FROM blobs") == [{"documents": 1}]


async def test_cancel_and_commit_at_the_same_moment(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """One of the two wins, and the session is what the winner made it."""
    for _ in range(15):
        session = await open_session(ledger)
        cancelled, committed = await asyncio.gather(
            ledger.cancel(caller(), session.upload_id),
            at_once(ledger, session, b"data"),
            return_exceptions=True,
        )
        now = await ledger.get("alice", session.upload_id)
        if isinstance(cancelled, LedgerLiftError):
            assert isinstance(cancelled, UploadAlreadyCommitted)
            assert isinstance(committed, Published)
            assert now == committed.session
        else:
            assert isinstance(committed, UploadCancelled)
            assert now.state is UploadState.CANCELLED
