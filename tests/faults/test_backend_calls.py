"""What one client's request costs a dependency that is down altogether: a stated number of attempts, never more.

One layer repeats, so the bound is that layer's: were two of them to repeat, the numbers would be multiplied.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import document_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.adapters.s3.options import S3Options
from ledgerlift_server.adapters.sql.runner import OUTAGE_ATTEMPTS
from ledgerlift_server.domain.upload_options import UploadOptions

from tests.support.counting_refuser import CountingRefuser
from tests.support.failing_http import FailingHttp
from tests.support.raw_uploads import messages, reason, spec, uploads
from tests.support.stores import MIB, Stores
from tests.support.toxiproxy import Toxiproxy

S3_ATTEMPTS = S3Options(bucket="any").max_attempts
"""Requests that one call to the store may be."""
PARTS_IN_FLIGHT = UploadOptions().parts_in_flight
TIMEOUT = 30.0
CALLS = 3
"""Of each kind."""
ALONE = {
    # Nobody else asks anything, and no breaker ends what is counted.
    "HEALTH_CACHE_TTL": "3600",
    "JANITOR_INTERVAL": "3600",
    "DB_FAILURE_THRESHOLD": "1000",
    "S3_FAILURE_THRESHOLD": "1000",
}

Ask = Callable[[grpc.Channel, str], object]


def _upload(channel: grpc.Channel, size: int) -> object:
    sent = messages(bytes(size), finish=True, spec=spec(size=size, duplicate_policy=pb.DUPLICATE_POLICY_CREATE_NEW))
    return uploads(channel).Upload(sent, timeout=TIMEOUT)


def _documents(channel: grpc.Channel) -> Any:
    return document_service_pb2_grpc.DocumentServiceStub(channel)


def _download(channel: grpc.Channel, document_id: str) -> object:
    request = documents_pb.DownloadDocumentRequest(document_id=document_id)
    return list(_documents(channel).DownloadDocument(request, timeout=TIMEOUT))


def _get(channel: grpc.Channel, document_id: str) -> object:
    return _documents(channel).GetDocument(documents_pb.GetDocumentRequest(document_id=document_id), timeout=TIMEOUT)


def _create(channel: grpc.Channel, _document_id: str) -> object:
    return uploads(channel).CreateUpload(pb.CreateUploadRequest(spec=spec(size=1000)), timeout=TIMEOUT)


@asynccontextmanager
async def _served(stores: Stores, folder: Path, name: str, upstream: str) -> AsyncIterator[tuple[Any, ...]]:
    """A server over stores of which one is reached through a proxy; a channel, a document, and the proxy."""
    with Toxiproxy.running(folder) as proxy:
        address = proxy.put_before(name, upstream)
        told = (
            {"S3_ENDPOINT": f"http://{address}"}
            if name == "storage"
            else {"DATABASE_URL": stores.environment["DATABASE_URL"].replace(upstream, address)}
        )
        async with stores.server(**told, **ALONE) as server:
            with grpc.insecure_channel(server.address) as channel:
                stored: Any = await asyncio.to_thread(_upload, channel, 1000)
                yield channel, stored.document.document_id, proxy, server


def _refused(ask: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        ask()
    error: Any = refused.value
    return f"{error.code().name} {reason(error)}"


@pytest.mark.parametrize(
    ("ask", "at_once"),
    [
        pytest.param(lambda channel, _: _upload(channel, 1000), 1, id="small upload"),
        pytest.param(lambda channel, _: _upload(channel, 22 * MIB), PARTS_IN_FLIGHT, id="upload in parts"),
        pytest.param(_download, 1, id="download"),
    ],
)
async def test_a_store_that_fails_is_asked_so_often_and_no_more(
    shared_stores: Stores, tmp_path: Path, ask: Ask, at_once: int
) -> None:
    """What is on its way when the call fails, `at_once` of it, has been tried as often as one layer does."""
    upstream = urlsplit(shared_stores.environment["S3_ENDPOINT"]).netloc
    async with _served(shared_stores, tmp_path, "storage", upstream) as (channel, document_id, proxy, server):
        with FailingHttp.running() as failing:
            proxy.lead_to("storage", failing.address)
            for _ in range(CALLS):
                said = await asyncio.to_thread(_refused, lambda: ask(channel, document_id))
                assert said == "UNAVAILABLE DEPENDENCY_UNAVAILABLE"
            assert await server.stop() == 0
            # The janitor, which an upload wakes, and the first look of the health monitor do not ask for a client.
            others = sum("request_id" not in entry for entry in server.log("s3_call_failed"))
            assert CALLS <= failing.requests <= (CALLS * at_once + others) * S3_ATTEMPTS


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(_get, id="read, idempotent"),
        pytest.param(_create, id="write"),
    ],
)
async def test_a_database_that_is_nowhere_is_asked_so_often_and_no_more(
    shared_stores: Stores, tmp_path: Path, ask: Ask
) -> None:
    """One transaction fails the call; nobody connects more often for it than one transaction may."""
    upstream = urlsplit(shared_stores.environment["DATABASE_URL"]).netloc.rpartition("@")[2]
    async with _served(shared_stores, tmp_path, "database", upstream) as (channel, document_id, proxy, server):
        with CountingRefuser.running() as refuser:
            proxy.lead_to("database", refuser.address)
            said = await asyncio.to_thread(_refused, lambda: ask(channel, document_id))
            assert said == "UNAVAILABLE DEPENDENCY_UNAVAILABLE"
            assert await server.stop() == 0
            # The janitor, which an upload wakes, does not ask for a client.
            asked = [*server.log("connection_lost"), *server.log("commit_unanswered")]
            janitors = sum("request_id" not in entry for entry in asked)
            assert 1 <= refuser.sessions - janitors <= OUTAGE_ATTEMPTS
