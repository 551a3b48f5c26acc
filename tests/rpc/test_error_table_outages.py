"""The rows of the error table that are not the caller's doing: stores that are away, no memory, damaged bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode as Code
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.captured_log import Entries
from tests.support.postgres import PostgresServer
from tests.support.raw_calls import begin, digest, documents, fetch, session, store, until_durable
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import refused
from tests.support.s3 import S3Server, make_client
from tests.support.stores import Stores, embedded, shared

UNAVAILABLE = (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
MIB = 1024 * 1024
PART = MIB // 16


def whole(data: bytes, **first: Any) -> Any:
    """The messages of a document."""
    return messages(data, finish=True, **first)


async def test_while_the_object_store_is_away(tmp_path: Path, postgres_url: str, own_s3_server: S3Server) -> None:
    """What needs it is told to come back, and nothing else is; once it is there, the same session goes on."""
    data = content(1, 1000)
    async with shared(tmp_path, postgres_url, own_s3_server.environment()).channel() as channel:
        held = (await store(channel, content(2, 1000))).document
        upload_id = await begin(channel)
        own_s3_server.stop()
        for method, request in (
            (uploads(channel).Upload, whole(data, upload_id=upload_id)),
            (documents(channel).DownloadDocument, documents_pb.DownloadDocumentRequest(document_id=held.document_id)),
        ):
            refusal = await refused(method, request)
            assert (refusal.kind, refusal.retry_after) == (UNAVAILABLE, 1.0)
        got = await documents(channel).GetDocument(documents_pb.GetDocumentRequest(document_id=held.document_id))
        assert got.document == held
        assert await session(channel, upload_id) == ("ACTIVE", 0)
        own_s3_server.start()
        answer = await uploads(channel).Upload(whole(data, upload_id=upload_id), timeout=60)
        assert answer.document.sha256 == digest(data)


async def test_while_the_database_is_away(tmp_path: Path) -> None:
    """Every call that looks anything up is told to come back; GetLimits needs nothing. Then all is as it was."""
    data = content(1, 1000)
    with PostgresServer.temporary() as postgres:
        stores = Stores(
            "postgresql-files", tmp_path, {"DATABASE_URL": postgres.url(postgres.create_database())}, PART
        )
        # No breaker, for that is another row. All at the same time: each call waits some seconds for its return.
        async with stores.channel(db_failure_threshold=1000) as channel:
            held = (await store(channel, data)).document
            postgres.stop()
            calls = (
                (uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=spec("r"))),
                (uploads(channel).Upload, whole(data, spec=spec("r"))),
                (uploads(channel).CheckDigests, pb.CheckDigestsRequest(sha256=[digest(data)])),
                (documents(channel).GetDocument, documents_pb.GetDocumentRequest(document_id=held.document_id)),
                (documents(channel).ListDocuments, documents_pb.ListDocumentsRequest()),
                (documents(channel).WatchEvents, documents_pb.WatchEventsRequest()),
            )
            for refusal in await asyncio.gather(*(refused(method, request) for method, request in calls)):
                assert (refusal.kind, refusal.retry_after) == (UNAVAILABLE, 1.0)
                assert "postgres" not in refusal.message.lower()  # whose it is and where is not told
            assert (await uploads(channel).GetLimits(pb.GetLimitsRequest())).limits.part_size
            postgres.start()
            assert await fetch(channel, held.document_id) == data
            assert (await store(channel, data, request_id="r")).document == held


async def test_out_of_memory_for_parts(tmp_path: Path) -> None:
    """OVERLOADED for whoever waits too long for a buffer; who has one goes on, and its memory is given back."""
    data = content(1, PART + 1000)
    settings = {"upload_memory_budget": PART, "upload_budget_wait": 3.0, "max_file_size": 100 * PART}
    async with embedded(tmp_path, part_size=PART).channel(**settings) as channel:
        holder = await begin(channel)
        call = uploads(channel).Upload(timeout=60)
        await call.write(pb.UploadRequest(upload_id=holder, data=data))
        await until_durable(channel, holder, PART)  # its first buffer has come back, and it waits with the second
        other = await begin(channel)
        refusal = await refused(uploads(channel).Upload, whole(data, upload_id=other))
        assert refusal.kind == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refusal.retry_after is not None
        assert await session(channel, other) == ("ACTIVE", 0)
        await call.write(pb.UploadRequest(finish_write=True))
        assert (await call).document.sha256 == digest(data)
        assert (await uploads(channel).Upload(whole(data, upload_id=other), timeout=60)).duplicate


Damage = Callable[[bytes], bytes | None]
DAMAGES: dict[str, Damage] = {
    "a-bit": lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
    "its-end": lambda stored: stored[:-1],
    "everything": lambda stored: None,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("size", [1000, 2 * MIB + 1000], ids=["one-chunk", "several-chunks"])
async def test_stored_bytes_that_were_damaged(stores: Stores, damage: Damage, size: int, log: Entries) -> None:
    """DATA_LOSS instead of a summary, never as many bytes as the document has, and operators hear of it too."""
    data = content(1, size)
    async with stores.channel() as channel:
        document = (await store(channel, data)).document
        await asyncio.to_thread(do_damage, stores, damage)
        request = documents_pb.DownloadDocumentRequest(document_id=document.document_id)
        parts: list[Any] = []
        refusal = await refused(documents(channel).DownloadDocument, request, seen=parts)
    assert refusal.kind == (Code.DATA_LOSS, "STORED_OBJECT_CORRUPT")
    assert refusal.facts["document_id"] == document.document_id
    assert refusal.resource == ("document", document.document_id)
    assert [entry["document_id"] for entry in log() if entry["event"] == "stored_object_corrupt"] == [
        document.document_id
    ]
    assert [part.WhichOneof("part") for part in parts] == ["document"] + ["chunk"] * (len(parts) - 1)
    assert sum(len(part.chunk.data) for part in parts) < size


def do_damage(stores: Stores, damage: Damage) -> None:
    """To the one stored object, past the server; where it is several files, to the last."""
    bucket = stores.environment.get("S3_BUCKET")
    if bucket is None:
        root = stores.folder / "data" / "objects"
        folder = root / "segments" if any((root / "segments").iterdir()) else root / "visible"
        path = max(path for path in folder.rglob("*") if path.is_file())
        damaged = damage(path.read_bytes())
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        return
    client = make_client(stores.environment["S3_ENDPOINT"])
    (found,) = client.list_objects_v2(Bucket=bucket)["Contents"]
    damaged = damage(client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    client.delete_object(Bucket=bucket, Key=found["Key"])
    if damaged is not None:
        client.put_object(Bucket=bucket, Key=found["Key"], Body=damaged)
    client.close()
