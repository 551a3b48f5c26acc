"""Every upload slot is held by a client that sends one byte and stops: everybody else is served as if nobody were."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2, document_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import LedgerLiftClient

from tests.faults.claims import Claim, percentile
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME, OpenUpload, messages, reason, spec
from tests.support.server import ServerProcess
from tests.support.stores import Stores
from tests.support.tools import tool

CALLS = 1000
"""Of each kind that is timed."""
CHECK_P99 = 0.05
"""Seconds."""
UNARY_SLOWER = 2.0
"""Times that the p99 of an idle server may be exceeded."""
STALL_TOLERANCE = 5.0
"""Seconds after the stall time by which a stream is answered: the server settles parts, the machine is busy."""
TIMEOUT = 120.0


async def stalls(stores: Stores, *, slots: int, stall_timeout: float) -> list[Claim]:
    """Time short calls on an idle server, and again beside `slots` stalled uploads; then what these are told."""
    environment = {
        "MAX_CONCURRENT_UPLOADS": str(slots),
        "UPLOAD_STALL_TIMEOUT": str(stall_timeout),
        # A part buffer for each: with less, those that get none are told OVERLOADED, and hold their slot no longer.
        "UPLOAD_MEMORY_BUDGET": str(slots * 2 * stores.part_size),
    }
    async with stores.server(**environment) as server:
        document_id = await asyncio.to_thread(_some_document, server.address)
        with grpc.insecure_channel(server.address) as channel, grpc.insecure_channel(server.address) as other:
            idle = await asyncio.to_thread(_timed, channel, document_id)
            calls = [OpenUpload(other, timeout=TIMEOUT) for _ in range(slots)]
            stalled_at = time.monotonic()
            for number, call in enumerate(calls):
                call.send(messages(b"1", spec=spec(f"stalled-{number}"), accept_partial=True))
            upload_ids = [await asyncio.to_thread(call.upload_id) for call in calls]
            all_at = time.monotonic()
            refused = await asyncio.to_thread(_refused, server.address)
            loaded = await asyncio.to_thread(_timed, channel, document_id)
            probe = await asyncio.to_thread(_probe, server)
            held = time.monotonic() - stalled_at < stall_timeout  # else what was timed was not beside all of them
            answers = [await asyncio.to_thread(call.answer) for call in calls]
            ended = (time.monotonic() - all_at, time.monotonic() - stalled_at)
        assert await server.stop() == 0, server.output
    said = Counter(pb.StopReason.Name(answer.stop_reason).removeprefix("STOP_REASON_") for answer in answers)
    told = [(answer.upload.upload_id, answer.upload.persisted_size) for answer in answers]
    right = told == [(upload_id, 0) for upload_id in upload_ids]
    in_time = stall_timeout <= ended[1] and ended[0] <= stall_timeout + STALL_TOLERANCE
    slower = loaded["GetDocument"] / idle["GetDocument"]
    return [
        Claim(
            f"{slots} stalled uploads hold every slot; one more is told",
            refused,
            "RESOURCE_EXHAUSTED OVERLOADED",
            held and refused == "RESOURCE_EXHAUSTED OVERLOADED",
        ),
        Claim(
            "  Check beside them, p99",
            f"{_ms(loaded['Check'])} (idle {_ms(idle['Check'])})",
            f"< {_ms(CHECK_P99)}",
            loaded["Check"] < CHECK_P99,
        ),
        Claim("  grpc_health_probe beside them exits with", str(probe), "0", probe == 0),
        Claim(
            "  GetDocument beside them, p99",
            f"{_ms(loaded['GetDocument'])} (idle {_ms(idle['GetDocument'])}), {slower:.2f}x",
            f"<= {UNARY_SLOWER:g}x",
            slower <= UNARY_SLOWER,
            goal=True,
        ),
        Claim(
            "  they end",
            f"{dict(said)}, by {ended[1]:.1f} s, with their durable offset: {right}",
            f"all STALLED after {stall_timeout:g} s",
            said == {"STALLED": slots} and in_time and right,
        ),
    ]


def _some_document(address: str) -> str:
    with LedgerLiftClient(address) as client:
        return client.upload(b"something", filename=FILENAME, content_type=CONTENT_TYPE).document.document_id


def _timed(channel: grpc.Channel, document_id: str) -> dict[str, float]:
    """p99 in seconds of calls that are made one after the other."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    documents: Any = document_service_pb2_grpc.DocumentServiceStub(channel)
    get = document_service_pb2.GetDocumentRequest(document_id=document_id)
    calls: dict[str, Callable[[], object]] = {
        "Check": lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT),
        "GetDocument": lambda: documents.GetDocument(get, timeout=TIMEOUT),
    }
    return {name: percentile([_seconds(call) for _ in range(CALLS)], 0.99) for name, call in calls.items()}


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _refused(address: str) -> str:
    with grpc.insecure_channel(address) as channel:
        call = OpenUpload(channel, timeout=TIMEOUT)
        call.send(messages(b"1", spec=spec("one-more"), finish=True))
        try:
            call.answer()
        except grpc.RpcError as refusal:
            error: Any = refusal
            return f"{error.code().name} {reason(error)}"
        return "OK"


def _probe(server: ServerProcess) -> int:
    command = [str(tool("grpc_health_probe")), f"-addr={server.address}", "-connect-timeout=5s", "-rpc-timeout=5s"]
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
