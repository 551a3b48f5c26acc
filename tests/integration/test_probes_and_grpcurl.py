"""The tools that others bring: Kubernetes' probe, and grpcurl with nothing but the address."""

from __future__ import annotations

import base64
import json
import subprocess
from hashlib import sha256
from typing import Any

import pytest

from tests.support.server import ServerProcess, StartServer
from tests.support.tools import tool

UPLOADS = "ledgerlift.v1.UploadService"


@pytest.fixture
async def server(start_server: StartServer) -> ServerProcess:
    """The embedded default."""
    return await start_server()


def probe(address: str, *arguments: str) -> int:
    """The exit code of grpc_health_probe."""
    program: list[Any] = [
        tool("grpc_health_probe"),
        f"-addr={address}",
        "-connect-timeout=10s",
        "-rpc-timeout=10s",
        *arguments,
    ]
    return subprocess.run(program, capture_output=True, timeout=60, check=False).returncode


def grpcurl(address: str, *arguments: str, data: Any = None) -> subprocess.CompletedProcess[str]:
    """One call, as a person types it."""
    given = [] if data is None else ["-d", json.dumps(data)]
    program: list[Any] = [tool("grpcurl"), "-plaintext", "-max-time", "20", *given, address, *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


async def test_the_kubernetes_probe(server: ServerProcess) -> None:
    """0 for the server and for a service, 3 for what is not there, 2 once the process is gone."""
    assert probe(server.address) == 0
    assert probe(server.address, f"-service={UPLOADS}") == 0
    assert probe(server.address, "-service=nothing") == 3
    await server.stop()
    assert probe(server.address, "-connect-timeout=1s") == 2


async def test_grpcurl_explores_the_api(server: ServerProcess) -> None:
    """Without a proto file: the services, and a method with its policy."""
    assert UPLOADS in grpcurl(server.address, "list").stdout.split()
    listed = grpcurl(server.address, "list")
    assert UPLOADS in listed.stdout.split(), listed.stderr
    described = grpcurl(server.address, "describe", f"{UPLOADS}.Upload").stdout
    assert "rpc Upload ( stream .ledgerlift.v1.UploadRequest )" in described
    assert "role: ROLE_WRITER" in described


async def test_grpcurl_uploads_and_downloads_a_document(server: ServerProcess) -> None:
    """A small document is one message, and comes back as it was."""
    content = b"hello, ledger"
    message = {
        "spec": {"filename": "hello.txt", "content_type": "text/plain"},
        "data": base64.b64encode(content).decode(),
        "finish_write": True,
    }
    uploaded = grpcurl(server.address, f"{UPLOADS}/Upload", data=message)
    assert uploaded.returncode == 0, uploaded.stderr
    document = json.loads(uploaded.stdout)["document"]
    assert document["sha256"] == sha256(content).hexdigest(), uploaded.stdout
    downloaded = grpcurl(
        server.address,
        "ledgerlift.v1.DocumentService/DownloadDocument",
        data={"document_id": document["documentId"]},
    )
    assert base64.b64encode(content).decode() in downloaded.stdout
    assert '"summary"' in downloaded.stdout


async def test_grpcurl_shows_what_is_wrong(server: ServerProcess) -> None:
    """Every wrong field by name, readable without the code: the details are of the well-known types."""
    refused = grpcurl(server.address, f"{UPLOADS}/CreateUpload", data={"spec": {"filename": "a/b"}})
    assert refused.returncode != 0
    assert "Code: InvalidArgument" in refused.stderr
    assert "spec.filename" in refused.stderr
    assert "spec.content_type" in refused.stderr
    assert "RequestInfo" in refused.stderr
