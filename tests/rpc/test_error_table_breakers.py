"""The rows of the error table where the server does not even try: CIRCUIT_OPEN, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
from grpc import StatusCode as Code
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.postgres import PostgresServer
from tests.support.raw_calls import begin, digest, documents, fetch, store
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import Refusal, outcome, refused
from tests.support.s3 import S3Server
from tests.support.stores import Stores, shared

PART = 64 * 1024
MINUTE = 60.0
AT_ONCE = 5.0
"""Seconds that all refusals together may take: one call that waited for the database would take more."""


def operator(channel: grpc.aio.Channel) -> Any:
    """The stub of operations."""
    return operations_service_pb2_grpc.OperationsServiceStub(channel)


async def until_open(channel: grpc.aio.Channel, dependency: str, method: Any, request: Any) -> None:
    """Call what needs the dependency until it is no longer tried."""
    async with asyncio.timeout(60):
        while (refusal := await refused(method, request())).reason != "CIRCUIT_OPEN":
            assert refusal.kind == (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert refusal.facts["dependency"] == dependency
    health: Any = health_pb2_grpc.HealthStub(channel)
    assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status == 1


async def all_refused(dependency: str, calls: list[tuple[Any, Any]]) -> None:
    """UNAVAILABLE/CIRCUIT_OPEN with the time until the first probe, one after the other and at once."""
    async with asyncio.timeout(AT_ONCE):
        for method, request in calls:
            refusal = await refused(method, request)
            assert refusal.kind == (Code.UNAVAILABLE, "CIRCUIT_OPEN")
            assert refusal.facts == {"dependency": dependency}
            assert dependency in refusal.message
            assert refusal.retry_after is not None
            assert MINUTE / 2 < refusal.retry_after <= MINUTE * 1.1  # the recovery timeout and its jitter


async def all_answered(calls: list[tuple[Any, Any]]) -> None:
    """None of them is refused."""
    for method, request in calls:
        assert not isinstance(answer := await outcome(method, request), Refusal), answer


async def reset(channel: grpc.aio.Channel, dependency: str) -> None:
    """As an operator does who knows that it is back."""
    await operator(channel).ResetCircuitBreaker(operations.ResetCircuitBreakerRequest(name=dependency), timeout=10)


async def test_while_the_storages_breaker_is_open(tmp_path: Path, postgres_url: str, own_s3_server: S3Server) -> None:
    """Uploads and downloads are refused at once, with the session left as it was; all that needs no bytes goes on."""
    data = content(1, 1000)
    stores = shared(tmp_path, postgres_url, own_s3_server.environment())
    async with stores.channel(s3_failure_threshold=1, s3_recovery_timeout=MINUTE) as channel:
        held = (await store(channel, content(2, 1000))).document
        upload_id = await begin(channel)
        download = documents_pb.DownloadDocumentRequest(document_id=held.document_id)
        own_s3_server.stop()
        await until_open(channel, "storage", documents(channel).DownloadDocument, lambda: download)
        sessions = (await uploads(channel).ListUploads(pb.ListUploadsRequest())).uploads
        await all_refused(
            "storage",
            [
                (uploads(channel).Upload, messages(data, finish=True, upload_id=upload_id)),
                (uploads(channel).Upload, messages(data, finish=True, spec=spec())),
                (documents(channel).DownloadDocument, download),
            ],
        )
        assert (await uploads(channel).ListUploads(pb.ListUploadsRequest())).uploads == sessions  # nothing was begun
        await all_answered(
            [
                (uploads(channel).GetLimits, pb.GetLimitsRequest()),
                (uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=spec())),
                (uploads(channel).GetUpload, pb.GetUploadRequest(upload_id=upload_id)),
                (documents(channel).GetDocument, documents_pb.GetDocumentRequest(document_id=held.document_id)),
                (documents(channel).ListDocuments, documents_pb.ListDocumentsRequest()),
                (operator(channel).GetHealth, operations.GetHealthRequest()),
                (operator(channel).GetCircuitBreakers, operations.GetCircuitBreakersRequest()),
            ]
        )
        own_s3_server.start()
        await reset(channel, "storage")
        answer = await uploads(channel).Upload(messages(data, finish=True, upload_id=upload_id), timeout=60)
        assert answer.document.sha256 == digest(data)


async def test_while_the_databases_breaker_is_open(tmp_path: Path) -> None:
    """Whatever looks anything up is refused at once; GetLimits, health and operations need nothing of it."""
    data = content(1, 1000)
    with PostgresServer.temporary() as postgres:
        stores = Stores(
            "postgresql-files", tmp_path, {"DATABASE_URL": postgres.url(postgres.create_database())}, PART
        )
        async with stores.channel(db_failure_threshold=1, db_recovery_timeout=MINUTE) as channel:
            held = (await store(channel, data)).document
            lookup = documents_pb.GetDocumentRequest(document_id=held.document_id)
            postgres.stop()
            await until_open(channel, "database", documents(channel).GetDocument, lambda: lookup)
            await all_refused(
                "database",
                [
                    (uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=spec("r"))),
                    (uploads(channel).Upload, messages(data, finish=True, spec=spec("r"))),
                    (uploads(channel).CheckDigests, pb.CheckDigestsRequest(sha256=[digest(data)])),
                    (documents(channel).GetDocument, lookup),
                    (documents(channel).ListDocuments, documents_pb.ListDocumentsRequest()),
                    (documents(channel).WatchEvents, documents_pb.WatchEventsRequest()),
                ],
            )
            await all_answered(
                [
                    (uploads(channel).GetLimits, pb.GetLimitsRequest()),
                    (operator(channel).GetHealth, operations.GetHealthRequest()),
                    (operator(channel).GetCircuitBreakers, operations.GetCircuitBreakersRequest()),
                    (operator(channel).GetStorageStats, operations.GetStorageStatsRequest()),
                ]
            )
            postgres.start()
            await reset(channel, "database")
            assert await fetch(channel, held.document_id) == data
