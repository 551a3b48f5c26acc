"""Clients that take every upload slot, send one byte and stop: nobody else notices, and then they are let go."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import grpc
from grpc import StatusCode as Code
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_calls import begin, digest, documents, session, store
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import Refusal, outcome, refused
from tests.support.server import in_process_server
from tests.support.tools import tool

PART = 64 * 1024
SLOTS = 40
STALL = 10.0
"""Seconds: more than all that is asked in between takes on a busy machine."""


def probe(address: str, service: str) -> int:
    """The exit code of Kubernetes' probe."""
    program: list[Any] = [tool("grpc_health_probe"), f"-addr={address}", f"-service={service}", "-rpc-timeout=5s"]
    return subprocess.run(program, capture_output=True, timeout=60, check=False).returncode


async def test_with_every_slot_stalled_the_server_answers_and_then_lets_them_go(tmp_path: Path) -> None:
    """Probes exit 0 and short calls are answered meanwhile; each stream ends with what of it is durable."""
    settings: dict[str, Any] = {
        "max_concurrent_uploads": SLOTS,
        "upload_stall_timeout": STALL,
        "upload_part_size": PART,
        "max_file_size": 100 * PART,
    }
    data = content(1, PART + 1)
    async with (
        in_process_server(tmp_path, **settings) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        held = (await store(channel, b"held")).document
        # Every second one has sent a whole part before its byte.
        durable = {await begin(channel): PART * (number % 2) for number in range(SLOTS)}
        stalled = {}
        for upload_id, size in durable.items():
            call = uploads(channel).Upload(timeout=60)
            await call.write(pb.UploadRequest(upload_id=upload_id, accept_partial=True, data=data[: size + 1]))
            stalled[upload_id] = call
        await asyncio.gather(*(call.initial_metadata() for call in stalled.values()))

        full = await refused(uploads(channel).Upload, messages(b"x", finish=True, spec=spec()))
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "ledgerlift.v1.UploadService"):
            assert (await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)).status == 1
            assert await asyncio.to_thread(probe, server.address, name) == 0
        operator: Any = operations_service_pb2_grpc.OperationsServiceStub(channel)
        request = documents_pb.GetDocumentRequest(document_id=held.document_id)
        for method, asked in (
            (uploads(channel).GetLimits, pb.GetLimitsRequest()),
            (uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=spec())),
            (documents(channel).GetDocument, request),
            (documents(channel).DownloadDocument, documents_pb.DownloadDocumentRequest(document_id=held.document_id)),
            (operator.GetHealth, operations.GetHealthRequest()),
        ):
            assert not isinstance(answer := await outcome(method, asked), Refusal), answer
        # All of this happened while every slot was taken.
        assert full.kind == (Code.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert full.facts == {"bound": "uploads", "limit": str(SLOTS)}
        again = await refused(uploads(channel).Upload, messages(b"x", finish=True, spec=spec()))
        assert again.kind == full.kind

        async with asyncio.timeout(STALL + 30):
            for upload_id, call in stalled.items():
                answer = await call
                assert pb.StopReason.Name(answer.stop_reason) == "STOP_REASON_STALLED"
                assert answer.upload.persisted_size == durable[upload_id]
                assert await session(channel, upload_id) == ("ACTIVE", durable[upload_id])
        # Who goes on from there has its document, and there is room for it.
        upload_id = next(upload_id for upload_id, size in durable.items() if size)
        rest = messages(data, PART, finish=True, upload_id=upload_id)
        assert (await uploads(channel).Upload(rest, timeout=60)).document.sha256 == digest(data)
