"""OperationsService on the wire: the report, the breakers and the store's statistics of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from ledgerlift.v1 import operations_service_pb2 as pb
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift_server import __version__
from ledgerlift_server.adapters.sql.revisions import own_schemas

from tests.support.callers import ByHeader, named
from tests.support.captured_log import Entries
from tests.support.raw_calls import TIMEOUT, store
from tests.support.raw_uploads import messages, spec, uploads
from tests.support.server import in_process_server

BUSY_MACHINE = {"high_cpu_percent": 100.0, "high_memory_percent": 100.0, "high_disk_percent": 100.0}


def operations(channel: grpc.aio.Channel) -> Any:
    """Untyped, as grpc generates it."""
    return operations_service_pb2_grpc.OperationsServiceStub(channel)


async def report_of(channel: grpc.aio.Channel) -> Any:
    """The health report."""
    return (await operations(channel).GetHealth(pb.GetHealthRequest(), timeout=TIMEOUT)).report


async def until_reported(channel: grpc.aio.Channel, holds: Callable[[Any], bool]) -> Any:
    """The first report of which that is true; the monitor makes them beside us."""
    async with asyncio.timeout(TIMEOUT):
        while not holds(report := await report_of(channel)):  # noqa: ASYNC110 - nobody tells that there is news
            await asyncio.sleep(0.02)
    return report


async def test_the_report_of_a_server_that_is_well(tmp_path: Path) -> None:
    """Every part of it is there, and of now."""
    began = datetime.now(UTC)
    async with (
        in_process_server(tmp_path, **BUSY_MACHINE) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        report = await report_of(channel)
    assert (report.status, list(report.issues)) == (pb.HEALTH_STATUS_HEALTHY, [])
    assert report.version == __version__
    assert 0 < report.uptime.ToTimedelta().total_seconds() < 120
    for checked in (report, report.database, report.storage):
        assert began <= checked.check_time.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
    for component in (report.database, report.storage):
        assert (component.status, component.message) == (pb.HEALTH_STATUS_HEALTHY, "")
        assert component.response_time.ToNanoseconds() > 0
    assert report.system.process_memory > 10_000_000
    assert 0 < report.system.disk_percent <= 100
    assert [breaker.name for breaker in report.breakers] == ["database", "storage"]
    assert report.storage_stats.backend == "filesystem"
    assert not report.HasField("pool")  # SQLite
    newest = own_schemas().newest
    assert (report.schema.revision, report.schema.server_revision) == (newest, newest)
    assert report.schema.least_server_revision == "0001"


async def test_the_pool_of_postgresql_is_in_the_report(tmp_path: Path, postgres_url: str) -> None:
    """How many connections there may be, and that the looks themselves gave theirs back."""
    pool = {"db_pool_size": 3, "db_max_overflow": 2}
    async with (
        in_process_server(tmp_path, database_url=postgres_url, **pool) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        report = await until_reported(channel, lambda report: report.pool.checked_out == 0)
    assert (report.pool.size, report.pool.overflow, report.pool.max_connections) == (3, 0, 5)


async def test_documents_of_all_owners_are_in_the_report(tmp_path: Path) -> None:
    """Counted when the server starts, whoever they belong to."""
    async with (
        in_process_server(tmp_path, authenticator=ByHeader()) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        for owner in ("alice", "bob"):
            stream = messages(b"12345", finish=True, spec=spec())
            await uploads(channel).Upload(stream, timeout=TIMEOUT, metadata=named(owner))
    async with in_process_server(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        report = await until_reported(channel, lambda report: report.document_count > 0)
    assert (report.document_count, report.total_size) == (2, 10)


async def test_what_is_wrong_with_the_machine_is_named(tmp_path: Path) -> None:
    """DEGRADED by its name, and calls are answered."""
    async with (
        in_process_server(tmp_path, **(BUSY_MACHINE | {"high_memory_percent": 0.001})) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        report = await report_of(channel)
    assert (report.status, list(report.issues)) == (pb.HEALTH_STATUS_DEGRADED, ["high_memory"])


async def test_the_breakers(tmp_path: Path) -> None:
    """By name, closed at first; `retry_after` is unset unless one is open."""
    async with in_process_server(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        answer = await operations(channel).GetCircuitBreakers(pb.GetCircuitBreakersRequest(), timeout=TIMEOUT)
    assert [(one.name, one.state, one.HasField("retry_after")) for one in answer.breakers] == [
        ("database", pb.BREAKER_STATE_CLOSED, False),
        ("storage", pb.BREAKER_STATE_CLOSED, False),
    ]


async def test_a_reset_answers_the_breaker_and_is_logged_with_its_caller(tmp_path: Path, log: Entries) -> None:
    """Who did it, and for which request."""
    async with (
        in_process_server(tmp_path, authenticator=ByHeader()) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        metadata = (*named("olga"), ("x-request-id", "because"))
        request = pb.ResetCircuitBreakerRequest(name="storage")
        answer = await operations(channel).ResetCircuitBreaker(request, timeout=TIMEOUT, metadata=metadata)
    assert (answer.breaker.name, answer.breaker.state) == ("storage", pb.BREAKER_STATE_CLOSED)
    (entry,) = [entry for entry in log() if entry["event"] == "breaker_reset"]
    assert (entry["breaker"], entry["caller"], entry["request_id"]) == ("storage", "olga", "because")


async def test_an_unknown_breaker_is_a_named_field(tmp_path: Path) -> None:
    """INVALID_ARGUMENT, with the names that there are."""
    request = pb.ResetCircuitBreakerRequest(name="redis")
    async with in_process_server(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operations(channel).ResetCircuitBreaker(request, timeout=TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    packed = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert any(detail.Unpack(bad) for detail in Status.FromString(packed).details)
    assert MessageToDict(bad)["fieldViolations"] == [
        {"field": "name", "description": "must be `database` or `storage`"}
    ]


async def test_the_statistics_of_the_store(tmp_path: Path) -> None:
    """What an upload did to it: calls, bytes, and a latency that stands in one bucket."""
    content = b"x" * 1000
    async with in_process_server(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        await store(channel, content)
        answer = await operations(channel).GetStorageStats(pb.GetStorageStatsRequest(), timeout=TIMEOUT)
    stats = {one.operation: one for one in answer.stats.operations}
    assert answer.stats.backend == "filesystem"
    assert not answer.stats.HasField("client_age")
    (put,) = [one for one in stats.values() if one.bytes == len(content)]
    assert (put.call_count, put.failure_count) == (1, 0)
    assert 0 < put.mean_latency.ToNanoseconds() == put.max_latency.ToNanoseconds()
    assert sum(bucket.count for bucket in put.buckets) == 1
    assert not put.buckets[-1].HasField("upper_bound")
    bounds = [bucket.upper_bound.ToNanoseconds() for bucket in put.buckets[:-1]]
    assert bounds == sorted(bounds)
