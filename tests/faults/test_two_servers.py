"""Two server processes on one PostgreSQL and one S3: what one has begun, the other goes on with."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
import pytest
from crc32c import crc32c
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.databases import run_sql
from tests.support.invariants import clean_up, everything, opened
from tests.support.raw_uploads import UPLOAD_ID_HEADER, content, messages, reason, spec, uploads
from tests.support.stores import Stores

TIMEOUT = 60


async def _begin(channel: Any, size: int) -> str:
    """A session; its id."""
    request = pb.CreateUploadRequest(spec=spec("two-servers", size=size))
    answer = await uploads(channel).CreateUpload(request, timeout=TIMEOUT)
    upload_id: str = answer.upload.upload_id
    return upload_id


async def _send(call: Any, data: bytes, start: int, stop: int | None = None, **more: Any) -> None:
    """Over a call that stays open. What a call that has ended does not take is not sent."""
    for message in messages(data, start, stop, **more):
        try:
            await call.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError):
            return


async def _until_durable(channel: Any, upload_id: str, size: int) -> None:
    watch = uploads(channel).WatchUpload(pb.WatchUploadRequest(upload_id=upload_id), timeout=TIMEOUT)
    async for seen in watch:
        if seen.upload.persisted_size >= size:
            watch.cancel()
            return
    raise AssertionError("the watch ended")


def _part_rows(stores: Stores) -> list[dict[str, Any]]:
    return run_sql(stores.database_url, "SELECT * FROM parts ORDER BY number")


async def test_an_upload_begun_on_one_server_is_finished_on_another(shared_stores: Stores) -> None:
    """The digest is the server's own, over both halves; the stream still open on the first is out of the game."""
    part = shared_stores.part_size
    data = content(1, 4 * part + 1000)
    async with (
        shared_stores.server() as first,
        shared_stores.server() as second,
        grpc.aio.insecure_channel(first.address) as to_first,
        grpc.aio.insecure_channel(second.address) as to_second,
    ):
        upload_id = await _begin(to_first, len(data))
        older = uploads(to_first).Upload(timeout=TIMEOUT)
        await _send(older, data, 0, 2 * part + 1000, upload_id=upload_id)
        await _until_durable(to_second, upload_id, 2 * part)
        before = _part_rows(shared_stores)

        newer = uploads(to_second).Upload(timeout=TIMEOUT)
        await newer.write(pb.UploadRequest(upload_id=upload_id))
        assert dict(await newer.initial_metadata())[UPLOAD_ID_HEADER] == upload_id

        await _send(older, data, 2 * part + 1000, 4 * part)  # two whole parts more
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await older
        assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.ABORTED, "UPLOAD_SUPERSEDED")
        assert _part_rows(shared_stores) == before

        await _send(newer, data, 2 * part, finish=True)
        response = await newer
        assert response.document.sha256 == hashlib.sha256(data).hexdigest()
        assert response.receipt.bytes_received == len(data) - 2 * part
    await clean_up(shared_stores)
    found = await everything(shared_stores)
    assert found.problems() == []
    assert [document.sha256 for document in found.documents] == [response.document.sha256]


@pytest.mark.parametrize("same", [True, False], ids=["the-same-bytes", "other-bytes"])
async def test_a_late_part_of_a_fenced_server_never_gets_into_a_document(shared_stores: Stores, same: bool) -> None:
    """A part that lands after the take-over replaces one that the ledger knows: the same bytes do no harm, other
    bytes end the upload. Never is a document published that is not what the newer stream sent."""
    part = shared_stores.part_size
    data = content(2, 3 * part)
    async with (
        shared_stores.server() as second,
        grpc.aio.insecure_channel(second.address) as to_second,
    ):
        upload_id = await _begin(to_second, len(data))
        newer = uploads(to_second).Upload(timeout=TIMEOUT)
        await _send(newer, data, 0, 2 * part, upload_id=upload_id)
        await _until_durable(to_second, upload_id, 2 * part)

        late = data[part : 2 * part] if same else content(3, part)
        async with opened(shared_stores) as fenced:
            session = await fenced.ledger.get("anonymous", upload_id)
            assert session.multipart_id is not None
            await fenced.store.put_part(
                session.object_name, session.multipart_id, 2, memoryview(late), crc32c=crc32c(late)
            )

        await _send(newer, data, 2 * part, finish=True)
        if same:
            response = await newer
            assert response.document.sha256 == hashlib.sha256(data).hexdigest()
        else:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await newer
            assert reason(refused.value) == "STORED_OBJECT_CORRUPT"
    await clean_up(shared_stores)
    found = await everything(shared_stores)
    assert found.problems() == []
    assert [session.state for session in found.sessions] == [UploadState.COMMITTED if same else UploadState.FAILED]
    assert len(found.documents) == len(found.objects) == (1 if same else 0)
    assert found.multiparts == frozenset()
