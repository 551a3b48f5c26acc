"""LedgerLift itself: its server as operators start it, with nothing set but where to listen and where to store."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from crc32c import crc32c
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2, document_service_pb2_grpc, upload_service_pb2, upload_service_pb2_grpc
from ledgerlift_client import LedgerLiftClient

from benchmarks.upload.payload import MESSAGE_SIZE, MIB, Payload
from benchmarks.upload.peers.versitygw import S3Target
from benchmarks.upload.processes import START_TIMEOUT, free_port, fresh, running

PROGRAM = Path(sys.executable).with_name("ledgerlift-server")

REMOVAL_TIMEOUT = 30.0
"""Seconds in which a deleted document's bytes must be gone."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running server. `stored_size` tells how many bytes of documents its store holds."""

    address: str
    process: psutil.Process
    stored_size: Callable[[], int]
    durability: str


@asynccontextmanager
async def ledgerlift(
    place: Path,
    s3: S3Target | None = None,
    *,
    direct: S3Target | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Service]:
    """A server on SQLite and files in `place`, or on SQLite and the bucket of `s3`.

    `direct` is a way into the bucket for looking, where `s3` is a slow one; `settings` are further ones.
    """
    data = fresh(place / "data")
    port = free_port()
    env = {"GRPC_ADDRESS": f"127.0.0.1:{port}", "DATA_DIR": str(data), "SHUTDOWN_DELAY": "0", **(settings or {})}
    if s3 is None:
        stored, durability = (lambda: _size_of_files(data)), "fsync of every part, of the file, its folder and SQLite"
    else:
        env |= {
            "S3_ENDPOINT": s3.endpoint,
            "S3_BUCKET": s3.bucket,
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "AWS_REGION": s3.region,
        }
        looking = direct or s3
        stored, durability = (lambda: _size_of_bucket(looking)), "acknowledged by the S3 server; SQLite fsynced"
    async with running([PROGRAM, "serve"], port=port, log=place / "ledgerlift.log", env=env) as process:
        address = f"127.0.0.1:{port}"
        await _serving(address)
        yield Service(address, process, stored, durability)


async def _serving(address: str) -> None:
    """It listens before it is ready, and says so."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(START_TIMEOUT):
        health = health_pb2_grpc.HealthStub(channel)
        while True:
            answer = await health.Check(health_pb2.HealthCheckRequest())
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
            await asyncio.sleep(0.05)


class LedgerLiftUpload:
    """`LedgerLiftClient.upload` from memory: segments, a CRC-32C per message, and the SHA-256 computed on the way."""

    def __init__(self, service: Service, client: LedgerLiftClient, *, name: str = "LedgerLift client") -> None:
        self.name = name
        self.durability = service.durability
        self.server: psutil.Process | None = service.process
        self._service = service
        self._client = client
        self._document_id, self._size = "", 0

    async def send(self, payload: Payload) -> None:
        """Returns when the document is durable; its digest must be the payload's."""
        result = await asyncio.to_thread(
            self._client.upload, payload.view(), filename="benchmark.bin", request_id=str(uuid.uuid4())
        )
        document = result.document
        assert (document.size, document.sha256, result.duplicate) == (payload.size, payload.sha256, False)
        assert result.attempts == 1, f"it took {result.attempts} attempts"
        self._document_id, self._size = document.document_id, document.size

    async def tidy(self) -> None:
        """Look for its bytes in the store; delete the document and wait until they are gone."""
        await _stored(self._service, self._size)
        await asyncio.to_thread(self._client.delete, self._document_id)
        await _removed(self._service)


class LedgerLiftStub:
    """The generated stub and one call: the same messages, without the client library and without its own SHA-256."""

    def __init__(self, service: Service, channel: grpc.aio.Channel, *, name: str = "LedgerLift, bare stub") -> None:
        self.name = name
        self.durability = service.durability
        self.server: psutil.Process | None = service.process
        self._service = service
        self._uploads = upload_service_pb2_grpc.UploadServiceStub(channel)
        self._documents = document_service_pb2_grpc.DocumentServiceStub(channel)
        self._document_id, self._size = "", 0

    async def send(self, payload: Payload) -> None:
        """Returns when the document is durable; its digest must be the payload's."""
        answer = await self._uploads.Upload(_requests(payload))
        document = answer.document
        assert (document.size, document.sha256, answer.duplicate) == (payload.size, payload.sha256, False)
        self._document_id, self._size = document.document_id, document.size

    async def tidy(self) -> None:
        """Look for its bytes in the store; delete the document and wait until they are gone."""
        await _stored(self._service, self._size)
        await self._documents.DeleteDocument(
            document_service_pb2.DeleteDocumentRequest(document_id=self._document_id)
        )
        await _removed(self._service)


def _requests(payload: Payload) -> Iterator[upload_service_pb2.UploadRequest]:
    spec = upload_service_pb2.UploadSpec(
        filename="benchmark.bin",
        content_type="application/octet-stream",
        size=payload.size,
        request_id=str(uuid.uuid4()),
    )
    for number, data in enumerate(payload.messages()):
        offset = number * MESSAGE_SIZE
        request = upload_service_pb2.UploadRequest(write_offset=offset, data=data, crc32c=crc32c(data))
        if number == 0:
            request.spec.CopyFrom(spec)
        request.finish_write = offset + len(data) == payload.size
        yield request


async def _stored(service: Service, size: int) -> None:
    """The bytes are where they were to go, and not in the server's other kind of store."""
    stored = await asyncio.to_thread(service.stored_size)
    assert stored >= size, f"the store holds {stored} bytes of a document of {size}"


async def _removed(service: Service) -> None:
    last = time.monotonic() + REMOVAL_TIMEOUT
    while await asyncio.to_thread(service.stored_size) >= MIB:
        assert time.monotonic() < last, "the bytes of a deleted document are still there"
        await asyncio.sleep(0.05)


def _size_of_files(root: Path) -> int:
    """Bytes in files that are not the database's. What disappears meanwhile is what is waited for."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                total += 0 if name.startswith("ledgerlift.db") else os.stat(os.path.join(folder, name)).st_size
    return total


def _size_of_bucket(target: S3Target) -> int:
    answer = target.client().list_objects_v2(Bucket=target.bucket)
    return sum(item["Size"] for item in answer.get("Contents", ()))
