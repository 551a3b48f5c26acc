"""Every kind of call has slots of its own: MAX_CONCURRENT_* over the wire, on a whole server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_calls import begin, documents, store
from tests.support.raw_uploads import content, spec, uploads
from tests.support.refusals import Refusal, outcome
from tests.support.server import in_process_server

KINDS = ("uploads", "downloads", "watches", "queries")
MIB = 1024 * 1024


class Callers:
    """Calls of every kind to one server that has a document and two sessions."""

    def __init__(self, channel: grpc.aio.Channel, folder: Path) -> None:
        """`prepare` comes first."""
        self.channel = channel
        self._database = folder / "data" / "ledgerlift.db"
        self._document = self._active = self._over = ""

    async def prepare(self) -> None:
        """Make what is asked for, while there are slots."""
        # More than a client takes in that does not read.
        self._document = (await store(self.channel, content(1, 16 * MIB))).document.document_id
        self._active, self._over = await begin(self.channel), await begin(self.channel)
        await uploads(self.channel).CancelUpload(pb.CancelUploadRequest(upload_id=self._over))

    async def short(self, kind: str) -> Any:
        """The outcome of a call of this kind that ends by itself."""
        match kind:
            case "uploads":
                message = pb.UploadRequest(spec=spec(), data=b"x", finish_write=True)
                return await outcome(uploads(self.channel).Upload, iter([message]))
            case "downloads":
                request = documents_pb.DownloadDocumentRequest(document_id=self._document, length=1)
                return await outcome(documents(self.channel).DownloadDocument, request)
            case "watches":
                return await outcome(uploads(self.channel).WatchUpload, pb.WatchUploadRequest(upload_id=self._over))
        return await outcome(uploads(self.channel).GetLimits, pb.GetLimitsRequest())

    @asynccontextmanager
    async def holding(self, kind: str) -> AsyncIterator[None]:
        """A call of this kind is running, until its caller cancels it."""
        async with AsyncExitStack() as stack:
            call: Any
            match kind:
                case "uploads":
                    call = uploads(self.channel).Upload(timeout=60)
                    await call.write(pb.UploadRequest(spec=spec(), data=b"x"))
                    await call.initial_metadata()
                case "downloads":
                    request = documents_pb.DownloadDocumentRequest(document_id=self._document)
                    call = documents(self.channel).DownloadDocument(request, timeout=60)
                    await call.read()
                case "watches":
                    request = pb.WatchUploadRequest(upload_id=self._active)
                    call = uploads(self.channel).WatchUpload(request, timeout=60)
                    await call.read()
                case _:
                    # A writer of another process keeps the database.
                    other = stack.enter_context(closing(sqlite3.connect(self._database, isolation_level=None)))
                    other.execute("BEGIN IMMEDIATE")
                    request = pb.CreateUploadRequest(spec=spec())
                    call = uploads(self.channel).CreateUpload(request, timeout=30)
                    async with asyncio.timeout(30):
                        while not isinstance(await self.short(kind), Refusal):
                            pass
            try:
                yield
            finally:
                call.cancel()


@asynccontextmanager
async def serving(folder: Path, **limits: int) -> AsyncIterator[tuple[Callers, str]]:
    """Callers of a server with these limits, and its address."""
    async with (
        in_process_server(folder, db_lock_timeout=30.0, **limits) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        callers = Callers(channel, folder)
        await callers.prepare()
        yield callers, server.address


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kind_that_is_full_refuses_its_own_and_no_other(tmp_path: Path, kind: str) -> None:
    """OVERLOADED names the bound and when to come back; all other kinds are answered; then there is room again."""
    async with serving(tmp_path, **{f"max_concurrent_{kind}": 1}) as (callers, _):
        async with callers.holding(kind):
            refusal = await callers.short(kind)
            assert isinstance(refusal, Refusal), refusal
            assert refusal.kind == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert refusal.facts == {"bound": kind, "limit": "1"}
            assert kind in refusal.message
            assert refusal.retry_after is not None
            assert 1.0 <= refusal.retry_after <= 2.0
            for other in KINDS:
                if other != kind and (kind, other) != ("queries", "uploads"):  # those wait for the same database
                    assert not isinstance(answer := await callers.short(other), Refusal), (other, answer)
        async with asyncio.timeout(30):
            while isinstance(answer := await callers.short(kind), Refusal):
                assert answer.kind == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")  # the cancelled call is on its way


async def test_who_watches_over_the_server_always_gets_an_answer(tmp_path: Path) -> None:
    """With every slot of every kind taken: health, GetHealth and the rest of operations, and reflection."""
    limits = {f"max_concurrent_{kind}": 1 for kind in KINDS}
    async with serving(tmp_path, **limits) as (callers, address), AsyncExitStack() as stack:
        for kind in ("uploads", "downloads", "watches", "queries"):
            await stack.enter_async_context(callers.holding(kind))
        for kind in KINDS:
            assert isinstance(await callers.short(kind), Refusal), kind
        health: Any = health_pb2_grpc.HealthStub(callers.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=30)).status == 1
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert (await watch.read()).status == 1
        watch.cancel()
        operator: Any = operations_service_pb2_grpc.OperationsServiceStub(callers.channel)
        for method, request in (
            (operator.GetHealth, operations.GetHealthRequest()),
            (operator.GetCircuitBreakers, operations.GetCircuitBreakersRequest()),
            (operator.GetStorageStats, operations.GetStorageStatsRequest()),
        ):
            assert not isinstance(answer := await outcome(method, request), Refusal), answer
        assert "ledgerlift.v1.UploadService" in await asyncio.to_thread(listed, address)


def listed(address: str) -> list[str]:
    """The services that reflection names."""
    with grpc.insecure_channel(address) as channel:
        return list(ProtoReflectionDescriptorDatabase(channel).get_services())
