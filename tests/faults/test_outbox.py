"""The last document of a stored object takes the object with it, also when the store is away at that moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ledgerlift_client import Document, DuplicatePolicy, LedgerLiftClient, errors
from ledgerlift_server.domain.drift import DriftReport

from tests.support.invariants import clean_up, everything, until_outbox_is_empty
from tests.support.raw_uploads import content
from tests.support.s3 import S3Server
from tests.support.stores import Stores, shared


def _two_on_one_object(client: LedgerLiftClient, data: bytes) -> tuple[Document, Document]:
    first = client.upload(data, filename="first.bin")
    second = client.upload(data, filename="second.bin", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    assert first.document.document_id != second.document.document_id
    return first.document, second.document


@pytest.mark.parametrize("parts", [0, 2])
async def test_a_shared_object_goes_with_its_last_document(stores: Stores, parts: int) -> None:
    """Deleting one of two documents on the same bytes leaves the other readable; deleting both leaves nothing."""
    data = content(1, parts * stores.part_size + 1000)

    def delete_one(address: str) -> Document:
        with LedgerLiftClient(address) as client:
            first, second = _two_on_one_object(client, data)
            client.delete(first.document_id)
            return second

    def delete_other(address: str, document: Document) -> None:
        with LedgerLiftClient(address) as client:
            target = stores.folder / "copy.bin"
            client.download(document.document_id, target)
            assert target.read_bytes() == data
            client.delete(document.document_id)
            client.delete(document.document_id)  # repeating it is fine
            with pytest.raises(errors.DocumentNotFound):
                client.get(document.document_id)

    async with stores.server() as server:
        kept = await asyncio.to_thread(delete_one, server.address)
        await until_outbox_is_empty(stores)  # it holds what the second upload stored in vain
        between = await everything(stores)
        assert [document.document_id for document in between.documents] == [kept.document_id]
        assert {document.object_name for document in between.documents} <= between.objects
        await asyncio.to_thread(delete_other, server.address, kept)
        assert await server.stop() == 0
    report = await clean_up(stores)
    assert report.drift == DriftReport(complete=True), "the outbox is enough"
    found = await everything(stores)
    assert found.problems() == []
    assert (found.documents, found.objects, found.multiparts, found.blobs) == ((), frozenset(), frozenset(), {})


async def test_an_object_is_removed_once_the_store_is_back(
    tmp_path: Path, postgres_url: str, own_s3_server: S3Server
) -> None:
    """Deleting does not need the store: what is to be removed waits in the outbox, and the janitor tries again."""
    stores = shared(tmp_path, postgres_url, own_s3_server.environment())

    def upload(address: str) -> tuple[Document, Document]:
        with LedgerLiftClient(address) as client:
            return _two_on_one_object(client, content(2, 1000))

    def delete(address: str, *documents: Document) -> None:
        with LedgerLiftClient(address) as client:
            for document in documents:
                client.delete(document.document_id)

    async with stores.server(JANITOR_INTERVAL="0.2") as server:
        both = await asyncio.to_thread(upload, server.address)
        own_s3_server.stop()
        await asyncio.to_thread(delete, server.address, *both)
        await server.until_logged("removal_failed")
        own_s3_server.start()
        await until_outbox_is_empty(stores)
        assert await server.stop() == 0
    found = await everything(stores)
    assert found.problems() == []
    assert (found.documents, found.objects, found.removals) == ((), frozenset(), 0)
