"""A caller that is killed in the middle of an upload, and run again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift_client import LedgerLiftClient, UploadState

from tests.support.invariants import clean_up, everything
from tests.support.raw_uploads import content, until_durable
from tests.support.server import ServerProcess
from tests.support.stores import MIB, embedded
from tests.support.tools import ROOT

SIZE, HALT_AT = 24 * MIB + 1000, 16 * MIB
PART = 1 * MIB
BEHIND = 10 * PART
"""What of that is waited for: the rest is on its way, or in parts that are not whole."""
TIMEOUT = 60.0
UPLOAD = "ledgerlift.v1.UploadService/Upload"


def _program(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.uploading_program", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _remembered(memory: Path) -> str | None:
    """The request id in a state file; None without one."""
    return str(json.loads(memory.read_text())["request_id"]) if memory.exists() else None


async def _killed(server: ServerProcess, *arguments: object) -> str:
    """Run the program up to the middle of its upload, kill it, and answer the request id of what it leaves."""
    with _program(*arguments, "--halt-at", HALT_AT) as program, LedgerLiftClient(server.address) as client:
        async with asyncio.timeout(TIMEOUT):
            while not (begun := [*client.list_uploads()]):
                assert program.poll() is None
                await asyncio.sleep(0.02)
        (upload,) = begun
        with grpc.insecure_channel(server.address) as channel:
            await asyncio.to_thread(until_durable, channel, upload.upload_id, BEHIND, timeout=TIMEOUT)
        program.kill()
    request_id: str = upload.spec.request_id
    await server.until_logged("call_ended", request_id=request_id, method=UPLOAD)
    return request_id


@pytest.mark.parametrize("by", ["--state-file", "--request-id"])
async def test_the_next_run_of_a_killed_caller_goes_on_from_what_is_durable(tmp_path: Path, by: str) -> None:
    """By a state file or by a request id of its own: nothing durable is sent again, and there is one document."""
    data = content(1, SIZE)
    source, memory = tmp_path / "document.bin", tmp_path / "memory.json"
    source.write_bytes(data)
    stores = embedded(tmp_path, part_size=PART)
    async with stores.server() as server:
        arguments = (server.address, source, by, memory if by == "--state-file" else "nightly-report")
        request_id = await _killed(server, *arguments)
        with LedgerLiftClient(server.address) as client:
            (left,) = client.list_uploads(request_id=request_id)
        assert left.state is UploadState.ACTIVE
        assert BEHIND <= left.persisted_size < SIZE
        assert _remembered(memory) == (request_id if by == "--state-file" else None)

        with _program(*arguments) as again:
            said, _ = await asyncio.to_thread(again.communicate, timeout=TIMEOUT)
        assert again.returncode == 0
        told: dict[str, Any] = json.loads(said)
        assert await server.stop() == 0, server.output

    (resumed,) = told["resumed"]
    assert left.persisted_size <= resumed < SIZE  # parts that were on their way have become durable since
    assert told == {
        "sha256": hashlib.sha256(data).hexdigest(),
        "resumed": [resumed],
        "received": SIZE - resumed,
        "skipped": 0,
    }
    assert _remembered(memory) is None
    await clean_up(stores)
    found = await everything(stores)
    assert found.problems() == []
    assert [document.sha256 for document in found.documents] == [told["sha256"]]
    assert len(found.sessions) == 1
