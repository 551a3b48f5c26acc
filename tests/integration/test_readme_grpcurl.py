"""README's grpcurl blocks, as pasted, answer what the page says. `tests/repo/test_readme.py` runs the others."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.repo.readme import SHELL, Block, blocks, commands, copied_checkout, perform
from tests.support.server import StartServer
from tests.support.tools import ROOT, tool

README = (ROOT / "README.md").read_text()
FILE = "demo/documents/meter-readings.csv"


def grpcurl_blocks() -> list[Block]:
    """Every block of the page that uses grpcurl, marked to be run or not."""
    return [
        block
        for block in blocks(README)
        if block.language in SHELL and any(word == "grpcurl" for word, *_ in commands(block))
    ]


def objects(output: str) -> Iterator[Any]:
    """The JSON objects that grpcurl wrote, one behind the other."""
    decoder = json.JSONDecoder()
    while output := output.strip():
        found, end = decoder.raw_decode(output)
        yield found
        output = output[end:]


async def test_readme_blocks_do_what_the_page_says(tmp_path: Path, start_server: StartServer) -> None:
    """Services and comments without a proto file; a document up, in the lists, in the trail, and back, whole."""
    tool("grpcurl")
    server = await start_server()
    checkout = copied_checkout(tmp_path / "checkout")
    outputs: list[str] = []
    for block in grpcurl_blocks():
        done = await asyncio.to_thread(perform, block, checkout, server.address)
        assert done.returncode == 0, f"README.md line {block.line}:\n{block.text}\n{done.stdout}"
        outputs.append(done.stdout)
    explore, upload, look, operate, fetch = outputs
    data = (ROOT / FILE).read_bytes()

    for service in ("UploadService", "DocumentService", "OperationsService"):
        assert f"ledgerlift.v1.{service}\n" in explore
    assert "grpc.health.v1.Health\n" in explore
    assert "// Sends bytes. A small document is one call" in explore  # the method's own comment, with its policy
    assert "default_timeout" in explore
    assert "// Size in bytes, 0 to `max_document_size`; absent when unknown." in explore  # unit and bound of a field

    (uploaded,) = objects(upload)
    document = uploaded["document"]
    assert (document["filename"], document["key"]) == ("meter-readings.csv", "meters/2026-11")
    assert (int(document["size"]), document["sha256"]) == (len(data), sha256(data).hexdigest())

    listed, trail, health = objects(look)
    assert [one["documentId"] for one in listed["documents"]] == [document["documentId"]]
    assert [(one["type"], one["documentId"]) for one in trail["events"]] == [
        ("document.created", document["documentId"])
    ]
    assert health == {"status": "SERVING"}

    report, stats, breakers, reset = objects(operate)
    assert report["report"]["database"]["status"] == "HEALTH_STATUS_HEALTHY"
    assert stats["stats"]["backend"] == "filesystem"
    assert [one["name"] for one in breakers["breakers"]] == ["database", "storage"]
    assert (reset["breaker"]["name"], reset["breaker"]["state"]) == ("storage", "BREAKER_STATE_CLOSED")

    got, *parts = objects(fetch)
    assert got["document"] == document
    assert parts[0]["document"] == document
    assert b"".join(base64.b64decode(part["chunk"]["data"]) for part in parts[1:-1]) == data
    assert parts[-1]["summary"] == {"sha256": sha256(data).hexdigest(), "size": str(len(data))}
