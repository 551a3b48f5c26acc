"""Two server processes on one PostgreSQL and one S3: what one has begun, the other goes on with."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
import pytest
from crc32c import crc32c
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.databases import run_sql
from tests.support.invariants import clean_up, everything, opened
from tests.support.raw_uploads import OpenUpload, content, messages, reason, spec, until_durable, uploads
from tests.support.stores import Stores

TIMEOUT = 60


def _begin(channel: grpc.Channel, size: int) -> str:
    """A session; its id."""
    request = pb.CreateUploadRequest(spec=spec("two-servers", size=size))
    return str(uploads(channel).CreateUpload(request, timeout=TIMEOUT).upload.upload_id)


def _part_rows(stores: Stores) -> list[dict[str, Any]]:
    return run_sql(stores.database_url, "SELECT * FROM parts ORDER BY number")


def _hand_over(first: grpc.Channel, second: grpc.Channel, stores: Stores) -> pb.UploadResponse:
    part = stores.part_size
    data = content(1, 4 * part + 1000)
    upload_id = _begin(first, len(data))
    older = OpenUpload(first, timeout=TIMEOUT)
    older.send(messages(data, 0, 2 * part + 1000, upload_id=upload_id))
    until_durable(second, upload_id, 2 * part, timeout=TIMEOUT)
    before = _part_rows(stores)

    newer = OpenUpload(second, timeout=TIMEOUT)
    newer.send([pb.UploadRequest(upload_id=upload_id)])
    assert newer.upload_id() == upload_id

    older.send(messages(data, 2 * part + 1000, 4 * part))  # two whole parts more
    with pytest.raises(grpc.RpcError) as refused:
        older.answer()
    error: Any = refused.value
    assert (error.code(), reason(error)) == (grpc.StatusCode.ABORTED, "UPLOAD_SUPERSEDED")
    assert _part_rows(stores) == before

    newer.send(messages(data, 2 * part, finish=True))
    response = newer.answer()
    assert response.document.sha256 == hashlib.sha256(data).hexdigest()
    assert response.receipt.bytes_received == len(data) - 2 * part
    return response


async def test_an_upload_begun_on_one_server_is_finished_on_another(shared_stores: Stores) -> None:
    """The digest is the server's own, over both halves; the stream still open on the first is out of the game."""
    async with shared_stores.server() as first, shared_stores.server() as second:
        with grpc.insecure_channel(first.address) as to_first, grpc.insecure_channel(second.address) as to_second:
            response = await asyncio.to_thread(_hand_over, to_first, to_second, shared_stores)
    await clean_up(shared_stores)
    found = await everything(shared_stores)
    assert found.problems() == []
    assert [document.sha256 for document in found.documents] == [response.document.sha256]


async def _put_late(stores: Stores, upload_id: str, number: int, data: bytes) -> None:
    """What a server that was taken over has on its way to the store, and does not know better than to let land."""
    async with opened(stores) as fenced:
        session = await fenced.ledger.get("anonymous", upload_id)
        assert session.multipart_id is not None
        body = memoryview(data)
        await fenced.store.put_part(session.object_name, session.multipart_id, number, body, crc32c=crc32c(data))


@pytest.mark.parametrize("same", [True, False], ids=["the-same-bytes", "other-bytes"])
async def test_a_late_part_of_a_fenced_server_never_gets_into_a_document(shared_stores: Stores, same: bool) -> None:
    """A part that lands after the take-over replaces one that the ledger knows: the same bytes do no harm, other
    bytes end the upload. Never is a document published that is not what the newer stream sent."""
    part = shared_stores.part_size
    data = content(2, 3 * part)
    async with shared_stores.server() as server:
        with grpc.insecure_channel(server.address) as channel:
            upload_id = await asyncio.to_thread(_begin, channel, len(data))
            newer = OpenUpload(channel, timeout=TIMEOUT)
            newer.send(messages(data, 0, 2 * part, upload_id=upload_id))
            await asyncio.to_thread(until_durable, channel, upload_id, 2 * part, timeout=TIMEOUT)
            await _put_late(shared_stores, upload_id, 2, data[part : 2 * part] if same else content(3, part))
            newer.send(messages(data, 2 * part, finish=True))
            if same:
                response = await asyncio.to_thread(newer.answer)
                assert response.document.sha256 == hashlib.sha256(data).hexdigest()
            else:
                with pytest.raises(grpc.RpcError) as refused:
                    await asyncio.to_thread(newer.answer)
                assert reason(refused.value) == "STORED_OBJECT_CORRUPT"
    await clean_up(shared_stores)
    found = await everything(shared_stores)
    assert found.problems() == []
    assert [session.state for session in found.sessions] == [UploadState.COMMITTED if same else UploadState.FAILED]
    assert len(found.documents) == len(found.objects) == (1 if same else 0)
    assert found.multiparts == frozenset()
