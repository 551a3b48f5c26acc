"""A server process over PostgreSQL: what it needs of the schema, and what outlives it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import document_service_pb2_grpc, upload_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as uploads

from tests.support.server import ServerProcess, StartServer


async def upload(address: str, content: bytes) -> str:
    """The id of the document."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = upload_service_pb2_grpc.UploadServiceStub(channel)
        spec = uploads.UploadSpec(filename="a.bin", content_type="application/octet-stream")
        message = uploads.UploadRequest(spec=spec, data=content, finish_write=True)
        answer = await stub.Upload(iter([message]), timeout=30)
        return str(answer.document.document_id)


async def size_of(address: str, document_id: str) -> int:
    """The size in the document's record."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = document_service_pb2_grpc.DocumentServiceStub(channel)
        answer = await stub.GetDocument(documents.GetDocumentRequest(document_id=document_id), timeout=30)
        return int(answer.document.size)


async def test_a_shared_database_is_not_migrated_by_the_way(tmp_path: Path, postgres_empty_url: str) -> None:
    """On a database without our schema the server says what to do; `migrate` does it, and the server serves."""
    server = ServerProcess(tmp_path, {"DATABASE_URL": postgres_empty_url})
    with pytest.raises(AssertionError, match="migrate it first"):
        await server.start()
    assert await server.wait() == 1
    migrate = [sys.executable, "-m", "ledgerlift_server", "migrate"]
    done = await asyncio.to_thread(subprocess.run, migrate, env=server.environment, timeout=60, check=False)
    assert done.returncode == 0
    await server.start()
    assert await server.stop() == 0


async def test_what_was_acknowledged_outlives_a_kill(start_server: StartServer, postgres_url: str) -> None:
    """SIGKILL right after the answer; another process over the same stores has the document."""
    first = await start_server(DATABASE_URL=postgres_url)
    document_id = await upload(first.address, b"x" * 1000)
    await first.kill()
    assert first.returncode == -9
    second = await start_server(DATABASE_URL=postgres_url)
    assert await size_of(second.address, document_id) == 1000


async def test_a_crash_at_a_step_of_a_commit(start_server: StartServer, postgres_url: str) -> None:
    """The launcher for crash tests kills the process at the step that it is told, and not before."""
    server = await start_server(DATABASE_URL=postgres_url, crash_at="sealed")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upload(server.address, b"x" * 1000)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert await server.wait() == -9
    await server.restart()
    assert await upload(server.address, b"y" * 1000)
