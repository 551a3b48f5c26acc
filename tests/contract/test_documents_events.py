"""The audit trail: listed page by page, and followed without ever missing an entry."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from ledgerlift_server.adapters.sql import (
    Database,
    SchemaMismatch,
    SqlDocuments,
    SqlUploadLedger,
    check_schema,
    migrate,
)
from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.domain.models import Event, EventFilter, EventType
from ledgerlift_server.errors import InvalidRequest

from tests.support.databases import OpenDatabase
from tests.support.uploads import caller, open_session, publish

EVERYTHING = EventFilter()


async def _document(ledger: SqlUploadLedger, data: bytes = b"data") -> str:
    return (await publish(ledger, data)).document.document_id


async def _note(documents: SqlDocuments, document_id: str, name: str) -> Event:
    return await documents.record_event(caller(), document_id, name, {}, "")


async def _names(documents: SqlDocuments, cursor: str) -> list[str]:
    return [event.type for event in await documents.events_after("alice", EVERYTHING, cursor, limit=100)]


async def test_the_trail_is_listed_oldest_first(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """Page by page, each entry once, and only the owner's."""
    document_id = await _document(ledger)
    await publish(ledger, b"data", "bob")
    for number in range(4):
        await _note(documents, document_id, f"n-{number}")
    names: list[str] = []
    token = ""
    for expected in (2, 2, 1):
        page = await documents.list_events("alice", EVERYTHING, page_size=2, page_token=token)
        assert len(page.items) == expected
        names += [event.type for event in page.items]
        token = page.next_token
    assert (names, token) == (["document.created", "n-0", "n-1", "n-2", "n-3"], "")


async def test_the_trail_of_one_document_or_one_upload(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """By either id or both, in the list and in the following."""
    first, second = await publish(ledger, b"1"), await publish(ledger, b"2")
    cancelled = await open_session(ledger)
    await ledger.cancel(caller(), cancelled.upload_id)
    await _note(documents, second.document.document_id, "seen")
    for where, expected in (
        (EventFilter(document_id=second.document.document_id), [EventType.DOCUMENT_CREATED, "seen"]),
        (EventFilter(upload_id=first.session.upload_id), [EventType.DOCUMENT_CREATED]),
        (EventFilter(upload_id=cancelled.upload_id), [EventType.UPLOAD_CANCELLED]),
        (EventFilter(first.document.document_id, cancelled.upload_id), []),
    ):
        page = await documents.list_events("alice", where, page_size=10, page_token="")
        followed = await documents.events_after("alice", where, "", limit=10)
        assert [event.type for event in page.items] == expected
        assert [event.type for event in followed] == expected


async def test_following_goes_on_right_after_the_cursor(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """The cursor of every entry, however it was read, leads to the next one."""
    document_id = await _document(ledger)
    for number in range(3):
        await _note(documents, document_id, f"n-{number}")
    followed = list(await documents.events_after("alice", EVERYTHING, "", limit=100))
    listed = (await documents.list_events("alice", EVERYTHING, page_size=100, page_token="")).items
    assert list(listed) == followed
    for position, event in enumerate(followed):
        assert await documents.events_after("alice", EVERYTHING, event.cursor, limit=100) == followed[position + 1 :]
    limited = await documents.events_after("alice", EVERYTHING, followed[0].cursor, limit=2)
    assert limited == followed[1:3]


@pytest.mark.parametrize("cursor", ["x", "\x00", "LTEvMC8w", "MC8w", "MC8wLzk5OTk5OTk5OTk5OTk5OTk5OTk5"])
async def test_a_cursor_that_is_none_is_refused(documents: SqlDocuments, cursor: str) -> None:
    """Made up, negative, too short or too large."""
    with pytest.raises(InvalidRequest) as refused:
        await documents.events_after("alice", EVERYTHING, cursor, limit=10)
    assert refused.value.violations[0].field == "cursor"


async def test_a_page_token_of_other_filters_is_refused(ledger: SqlUploadLedger, documents: SqlDocuments) -> None:
    """As in every list."""
    document_id = await _document(ledger)
    await _note(documents, document_id, "seen")
    token = (await documents.list_events("alice", EVERYTHING, page_size=1, page_token="")).next_token
    with pytest.raises(InvalidRequest):
        await documents.list_events("alice", EventFilter(document_id), page_size=1, page_token=token)


async def test_a_follower_sees_every_entry_once_while_many_write(
    ledger: SqlUploadLedger, documents: SqlDocuments
) -> None:
    """Eight writers, one follower that asks all the time: nothing is skipped, nothing comes twice."""
    ids = [await _document(ledger, f"{number}".encode()) for number in range(8)]
    seen: list[str] = []
    done = asyncio.Event()

    async def follow() -> None:
        cursor = ""
        while True:
            last = done.is_set()
            found = await documents.events_after("alice", EVERYTHING, cursor, limit=7)
            seen.extend(event.event_id for event in found)
            if found:
                cursor = found[-1].cursor
            elif last:
                return

    async def write(document_id: str) -> None:
        for number in range(20):
            await _note(documents, document_id, f"n-{number}")

    following = asyncio.create_task(follow())
    await asyncio.gather(*map(write, ids))
    done.set()
    await following
    page = await documents.list_events("alice", EVERYTHING, page_size=1000, page_token="")
    assert len(page.items) == 8 + 8 * 20
    assert seen == [event.event_id for event in page.items]


@contextmanager
def _open_entry(url: str, name: str) -> Iterator[Any]:
    """An entry whose transaction has written it and not ended yet."""
    with closing(psycopg2.connect(url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO events (era, xid, event_id, owner, type, actor, request_id, create_time, detail) VALUES"
                " ((SELECT era FROM event_era), pg_current_xact_id()::text::bigint, %s, 'alice', %s, 'alice', 'r',"
                " now(), '{}')",
                (new_id(), name),
            )
        yield connection


@pytest.fixture
def postgres(open_database: OpenDatabase, postgres_url: str) -> Database:
    """A PostgreSQL database; what follows cannot happen where writers are serial."""
    return open_database(postgres_url)


async def test_an_entry_that_commits_late_is_not_skipped(postgres: Database, postgres_url: str) -> None:
    """Entries behind an open transaction wait for it, so that a follower's cursor never passes it."""
    ledger, documents = SqlUploadLedger(postgres), SqlDocuments(postgres)
    document_id = await _document(ledger)
    (created,) = await documents.events_after("alice", EVERYTHING, "", limit=10)
    with _open_entry(postgres_url, "late") as held:
        await _note(documents, document_id, "quick")
        assert await _names(documents, created.cursor) == []
        held.commit()
        assert await _names(documents, created.cursor) == ["late", "quick"]


async def test_an_entry_that_is_rolled_back_holds_nobody_up(postgres: Database, postgres_url: str) -> None:
    """Once its transaction has ended, the rest comes."""
    ledger, documents = SqlUploadLedger(postgres), SqlDocuments(postgres)
    document_id = await _document(ledger)
    (created,) = await documents.events_after("alice", EVERYTHING, "", limit=10)
    with _open_entry(postgres_url, "never") as held:
        await _note(documents, document_id, "quick")
        held.rollback()
    assert await _names(documents, created.cursor) == ["quick"]


async def test_going_on_from_a_list_misses_nothing_either(postgres: Database, postgres_url: str) -> None:
    """A list shows entries as soon as they are there; their cursors lie before whatever is still open."""
    ledger, documents = SqlUploadLedger(postgres), SqlDocuments(postgres)
    document_id = await _document(ledger)
    with _open_entry(postgres_url, "late") as held:
        await _note(documents, document_id, "quick")
        page = await documents.list_events("alice", EVERYTHING, page_size=10, page_token="")
        assert [event.type for event in page.items] == ["document.created", "quick"]
        held.commit()
    assert await _names(documents, page.items[-1].cursor) == ["late", "quick"]
    assert await _names(documents, page.items[0].cursor) == ["late", "quick"]


async def test_many_transactions_of_random_length_lose_no_entry(postgres: Database, postgres_url: str) -> None:
    """Entries get their numbers in one order and are committed in another; the follower gets each once."""
    documents = SqlDocuments(postgres)
    order = random.Random(7)  # noqa: S311  shuffles, no secrets
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        held = [_open_entry(postgres_url, f"n-{number}") for number in range(5)]
        entered = [(one, one.__enter__()) for one in held]
        order.shuffle(entered)
        for one, connection in entered:
            connection.commit()
            one.__exit__(None, None, None)
            found = await documents.events_after("alice", EVERYTHING, cursor, limit=100)
            seen += [event.event_id for event in found]
            cursor = found[-1].cursor if found else cursor
    page = await documents.list_events("alice", EVERYTHING, page_size=1000, page_token="")
    assert len(seen) == 50
    assert sorted(seen) == sorted(event.event_id for event in page.items)


async def test_a_trail_restored_into_another_cluster_goes_on(postgres: Database, postgres_url: str) -> None:
    """There, transaction numbers are lower than the trail's own; migrating begins a new era, and old cursors hold."""
    ledger, documents = SqlUploadLedger(postgres), SqlDocuments(postgres)
    document_id = await _document(ledger)
    with closing(psycopg2.connect(postgres_url)) as connection, connection, connection.cursor() as statement:
        statement.execute("UPDATE events SET xid = xid + 1000000000")
    assert await documents.events_after("alice", EVERYTHING, "", limit=10) == []
    with pytest.raises(SchemaMismatch, match="another cluster"):
        check_schema(postgres_url)
    migrate(postgres_url)
    check_schema(postgres_url)
    (created,) = await documents.events_after("alice", EVERYTHING, "", limit=10)
    await _note(documents, document_id, "after")
    migrate(postgres_url)
    assert await _names(documents, created.cursor) == ["after"]
    assert await _names(documents, "") == ["document.created", "after"]
