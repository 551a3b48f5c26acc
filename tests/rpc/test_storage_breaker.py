"""A store that is killed under work in progress: what was begun before its breaker opened, until it has closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc import StatusCode as Code
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.captured_log import Entries, listening_for
from tests.support.raw_calls import (
    begin,
    delete,
    digest,
    documents,
    fetch,
    session,
    store,
    until_durable,
    until_ended,
)
from tests.support.raw_uploads import content, messages, uploads
from tests.support.refusals import refused
from tests.support.s3 import S3Server, make_client
from tests.support.stores import MIB, shared

UNAVAILABLE = (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
CIRCUIT_OPEN = (Code.UNAVAILABLE, "CIRCUIT_OPEN")
PART = 5 * MIB
RECOVERY = 1.0
"""Seconds; short enough to wait for several times."""


async def until_open(channel: grpc.aio.Channel, document_id: str) -> None:
    """Read the document until nobody asks the store for it any more."""
    request = documents_pb.DownloadDocumentRequest(document_id=document_id)
    async with asyncio.timeout(60):
        while (refusal := await refused(documents(channel).DownloadDocument, request)).kind != CIRCUIT_OPEN:
            assert refusal.kind == UNAVAILABLE


async def reset(channel: grpc.aio.Channel) -> None:
    """Close the breaker by hand."""
    stub: Any = operations_service_pb2_grpc.OperationsServiceStub(channel)
    await stub.ResetCircuitBreaker(operations.ResetCircuitBreakerRequest(name="storage"), timeout=10)


async def changes_of_the_breaker(count: int) -> None:
    """Return after so many: OPEN, HALF_OPEN, and so on."""
    for _ in range(count):
        with listening_for("breaker_changed") as changed:
            await asyncio.wait_for(changed.wait(), 60)


def until_objects(count: int, s3: S3Server, bucket: str) -> None:
    """Block until so many are in the bucket. The test's own timeout bounds it."""
    client = make_client(s3.endpoint)
    while client.list_objects_v2(Bucket=bucket)["KeyCount"] != count:
        time.sleep(0.1)


async def test_a_running_upload_ends_with_its_session_resumable(
    tmp_path: Path, postgres_url: str, own_s3_server: S3Server
) -> None:
    """CIRCUIT_OPEN and when to come again; the session is ACTIVE, and goes on from what is durable."""
    data, go_on = content(1, PART + 1000), asyncio.Event()
    stores = shared(tmp_path, postgres_url, own_s3_server.environment())
    async with stores.channel(s3_failure_threshold=1, s3_recovery_timeout=60.0) as channel:
        held = (await store(channel, content(2, 1000))).document
        upload_id = await begin(channel)

        async def stream() -> AsyncIterator[pb.UploadRequest]:
            for message in messages(data, 0, PART, upload_id=upload_id):
                yield message
            await go_on.wait()
            for message in messages(data, PART, finish=True):
                yield message

        running = asyncio.create_task(refused(uploads(channel).Upload, stream()))
        await until_durable(channel, upload_id, PART)
        own_s3_server.kill()
        await until_open(channel, held.document_id)
        go_on.set()
        refusal = await running
        assert refusal.kind == CIRCUIT_OPEN
        assert refusal.retry_after is not None
        assert 30.0 < refusal.retry_after <= 66.0
        assert refusal.facts == {"dependency": "storage", "upload_id": upload_id, "persisted_size": str(PART)}
        assert await session(channel, upload_id) == ("ACTIVE", PART)
        own_s3_server.start()
        await reset(channel)
        rest = messages(data, PART, finish=True, upload_id=upload_id)
        answer = await uploads(channel).Upload(rest, timeout=60)
        assert answer.document.sha256 == digest(data)
        assert await fetch(channel, answer.document.document_id) == data


async def test_what_the_server_owes_is_done_when_the_breaker_closes(
    tmp_path: Path, postgres_url: str, own_s3_server: S3Server, log: Entries
) -> None:
    """A commit and a removal that the store's death stopped are done when it is back, with few words till then."""
    data, killed = content(1, PART + 1000), list[str]()

    def kill(step: str) -> None:
        if step == "before_complete" and not killed:
            killed.append(step)
            own_s3_server.kill()

    environment = own_s3_server.environment()
    options = {"s3_failure_threshold": 2, "s3_recovery_timeout": RECOVERY, "janitor_interval": 0.5}
    stores = shared(tmp_path, postgres_url, environment)
    async with stores.channel(checkpoint=kill, **options) as channel:
        unwanted = (await store(channel, content(2, 1000))).document
        upload_id = await begin(channel)
        upload = messages(data, finish=True, upload_id=upload_id)
        refusal = await refused(uploads(channel).Upload, upload)
        assert refusal.kind == UNAVAILABLE
        await delete(channel, unwanted.document_id)
        await changes_of_the_breaker(2)
        assert (await session(channel, upload_id))[0] == "COMMITTING"
        words = [entry for entry in log() if entry["level"] not in ("debug", "info")]
        own_s3_server.start()
        assert await until_ended(channel, upload_id) == "COMMITTED"
        await asyncio.to_thread(until_objects, 1, own_s3_server, environment["S3_BUCKET"])
        got = await uploads(channel).GetUpload(pb.GetUploadRequest(upload_id=upload_id), timeout=60)
        assert await fetch(channel, got.upload.document_id) == data
    about = ("commit_stopped", "commit_not_driven", "removal_failed")
    assert sum(entry["event"] in about for entry in words) <= 6, words
