"""A page fits into one message, however long its entries' texts are; nothing is left out for it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from ledgerlift_server.adapters.sql import Database, SqlDocuments, SqlUploadLedger
from ledgerlift_server.domain.models import DocumentFilter, EventFilter
from ledgerlift_server.domain.upload_models import UploadFilter
from ledgerlift_server.domain.upload_options import UploadOptions
from ledgerlift_server.rpc.convert import document_message, event_message, upload_message

from tests.support.uploads import caller, publish

ENTRIES = 7
MANY = 400
PAGE_BYTES = 64 * 1024
LONG = {f"{n:0128d}": text for n, text in enumerate(["x" * 1024, "\u00fc" * 1024, "\U0001f4c4" * 1024] * 4)}
"""28 KiB in UTF-8, 14 Ki characters: two entries fit into a page, if bytes are counted."""


async def _pages(ask: Any) -> list[list[Any]]:
    """All pages, from the first to the last."""
    pages: list[list[Any]] = []
    token = ""
    while True:
        page = await ask(token)
        assert page.items
        pages.append(list(page.items))
        token = page.next_token
        if not token:
            return pages


@pytest.mark.parametrize("kind", ["documents", "uploads", "events"])
async def test_a_page_ends_where_its_message_is_full(database: Database, kind: str) -> None:
    """With the entries that fit, and a token for the others: each comes once, in order."""
    ledger = SqlUploadLedger(database, page_bytes=PAGE_BYTES)
    documents = SqlDocuments(database, page_bytes=PAGE_BYTES)
    published = [await publish(ledger, b"%d" % n, metadata=LONG) for n in range(ENTRIES)]
    first = published[0].document.document_id
    for n in range(ENTRIES):
        await documents.record_event(caller(), first, "seen", LONG, f"k-{n}")
    asks: dict[str, tuple[Any, Any]] = {
        "documents": (
            lambda token: documents.list("alice", DocumentFilter(), page_size=1000, page_token=token),
            document_message,
        ),
        "uploads": (
            lambda token: ledger.list("alice", UploadFilter(), page_size=1000, page_token=token),
            lambda session: upload_message(session, UploadOptions()),
        ),
        "events": (
            lambda token: documents.list_events(
                "alice", EventFilter(document_id=first), page_size=1000, page_token=token
            ),
            event_message,
        ),
    }
    ask, message = asks[kind]
    pages = await _pages(ask)
    assert [len(page) for page in pages][-2:] == [2, 1] if kind != "events" else len(pages) >= 4
    assert all(sum(message(entry).ByteSize() for entry in page) <= PAGE_BYTES for page in pages)
    ids = [message(entry).SerializeToString() for page in pages for entry in page]
    assert len(set(ids)) == len(ids) == (ENTRIES + 1 if kind == "events" else ENTRIES)


async def test_an_entry_that_is_longer_than_a_page_comes_alone(database: Database) -> None:
    """Or the list would never go on."""
    ledger = SqlUploadLedger(database)
    for n in range(3):
        await publish(ledger, b"%d" % n, metadata=LONG)
    documents = SqlDocuments(database, page_bytes=1)
    pages = await _pages(lambda token: documents.list("alice", DocumentFilter(), page_size=1000, page_token=token))
    assert [len(page) for page in pages] == [1, 1, 1]


@pytest.fixture
def traced() -> Iterator[None]:
    """Python's own memory is counted."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def test_a_page_takes_memory_for_what_it_shows(database: Database, traced: None) -> None:
    """And not for all that it might: five lists of long entries at a time took 2.7 GB to answer with 10 MB."""
    first = (await publish(SqlUploadLedger(database), b"")).document.document_id
    documents = SqlDocuments(database, page_bytes=PAGE_BYTES)
    for n in range(MANY):
        await documents.record_event(caller(), first, "seen", LONG, f"k-{n}")
    all_of_them = MANY * sum(len(name) + len(text.encode()) for name, text in LONG.items())
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    page = await documents.list_events("alice", EventFilter(), page_size=1000, page_token="")
    _, peak = tracemalloc.get_traced_memory()
    assert page.items
    assert page.next_token
    assert peak - before < all_of_them / 2, f"{(peak - before) / all_of_them:.2f} of {all_of_them} bytes"
