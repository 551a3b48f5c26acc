"""Metrics of a server that runs, as a scrape over HTTP sees them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import operations_service_pb2 as operations
from ledgerlift.v1 import operations_service_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.core import CannotStart

from tests.support.raw_calls import begin, digest, documents, fetch, store
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import refused
from tests.support.scrape import Scrape, scrape, scrape_in_place, until
from tests.support.server import in_process_server

ANYWHERE = "127.0.0.1:0"
TIMEOUT = 30
MIB = 1024 * 1024
NOBODY = "01890000-0000-7000-8000-000000000000"


@asynccontextmanager
async def measured(folder: Path, **changes: Any) -> AsyncIterator[tuple[grpc.aio.Channel, str | None]]:
    """A server, a channel to it, and where its metrics are."""
    async with (
        in_process_server(folder, **({"metrics_address": ANYWHERE} | changes)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield channel, server.metrics_address


async def test_calls_are_counted_by_method_and_by_the_code_that_the_caller_saw(tmp_path: Path) -> None:
    """Answers, refusals of the handler, of validation and of admission; nothing is in flight behind them."""
    async with measured(tmp_path, max_concurrent_watches=1) as (channel, metrics):
        upload_id = await begin(channel)
        for _ in range(3):
            await uploads(channel).GetLimits(pb.GetLimitsRequest(), timeout=TIMEOUT)
        await refused(uploads(channel).GetUpload, pb.GetUploadRequest(upload_id=NOBODY))
        await refused(uploads(channel).GetUpload, pb.GetUploadRequest(upload_id="none"))
        watching = uploads(channel).WatchUpload(pb.WatchUploadRequest(upload_id=upload_id), timeout=TIMEOUT)
        await watching.read()
        running = await scrape(metrics)
        await refused(uploads(channel).WatchUpload, pb.WatchUploadRequest(upload_id=upload_id))
        watching.cancel()
        seen = await until(metrics, lambda now: now.calls("WatchUpload", "CANCELLED") == 1)
    assert running.value("ledgerlift_rpc_in_flight_calls", method="WatchUpload") == 1
    assert running.value("ledgerlift_admission_in_use_slots", kind="watches") == 1
    assert seen.value("ledgerlift_rpc_in_flight_calls", method="WatchUpload") == 0
    assert seen.calls("GetLimits", "OK") == 3
    assert seen.value("ledgerlift_rpc_duration_seconds_count", method="GetLimits") == 3
    assert 0 < seen.value("ledgerlift_rpc_duration_seconds_sum", method="GetLimits") < 3 * TIMEOUT
    assert seen.calls("GetUpload", "NOT_FOUND") == 1
    assert seen.calls("GetUpload", "INVALID_ARGUMENT") == 1
    assert seen.calls("WatchUpload", "RESOURCE_EXHAUSTED") == 1
    assert seen.value("ledgerlift_admission_refused_total", kind="watches") == 1


async def test_a_call_whose_deadline_passes_is_counted_as_that(tmp_path: Path) -> None:
    """The server's clock for it begins when it has the call: on a busy machine the client may have left before."""
    async with measured(tmp_path) as (channel, metrics):
        upload_id = await begin(channel)
        for _ in range(5):
            watching = uploads(channel).WatchUpload(pb.WatchUploadRequest(upload_id=upload_id), timeout=2)
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in watching:
                    pass
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await until(metrics, lambda now: now.calls("WatchUpload", "DEADLINE_EXCEEDED") >= 1)
                return
        pytest.fail("none of the calls was counted as what its client saw")


async def test_methods_that_do_not_exist_make_no_series(tmp_path: Path) -> None:
    """A caller cannot make labels: what it calls is not what the server counts."""
    async with measured(tmp_path) as (channel, metrics):
        for number in range(3):
            call = channel.unary_unary(f"/ledgerlift.v1.UploadService/Made{number}")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(b"", timeout=TIMEOUT)
        assert "Made" not in (await scrape(metrics)).text


async def test_uploads_are_counted_from_their_bytes_to_their_documents(tmp_path: Path) -> None:
    """A commit, a duplicate by its bytes, one by its declared digest, and the answer to a repeated request."""
    data = content(1, 3 * MIB)
    async with measured(tmp_path) as (channel, metrics):
        await store(channel, data, request_id="one")
        await store(channel, data)
        declared = spec(sha256=digest(data), size=len(data))
        await uploads(channel).CreateUpload(pb.CreateUploadRequest(spec=declared), timeout=TIMEOUT)
        await store(channel, b"", request_id="one")
        seen = await scrape(metrics)
    assert seen.value("ledgerlift_upload_received_bytes_total") == 2 * len(data)
    assert seen.value("ledgerlift_upload_streams_total", outcome="committed") == 2
    assert seen.value("ledgerlift_upload_streams_total", outcome="replayed") == 1
    assert seen.value("ledgerlift_documents_committed_total") == 1
    assert seen.value("ledgerlift_documents_committed_bytes_total") == len(data)
    assert seen.value("ledgerlift_dedupe_hits_total", found="received") == 1
    assert seen.value("ledgerlift_dedupe_hits_total", found="declared") == 1
    operation = {"dependency": "storage", "operation": "object.put"}
    assert seen.value("ledgerlift_dependency_call_bytes_total", **operation) == 2 * len(data)
    assert seen.value("ledgerlift_dependency_call_duration_seconds_count", **operation) == 2


async def test_a_running_upload_shows_while_it_runs(tmp_path: Path) -> None:
    """Its session, its bytes and its memory, before it has ended; afterwards nothing is held."""
    go_on, data = asyncio.Event(), content(1, MIB)
    async with measured(tmp_path) as (channel, metrics):

        async def stream() -> AsyncIterator[pb.UploadRequest]:
            for message in messages(data, spec=spec()):
                yield message
            await go_on.wait()

        running = asyncio.create_task(refused(uploads(channel).Upload, stream()))
        seen = await until(metrics, lambda now: now.value("ledgerlift_upload_received_bytes_total") == len(data))
        go_on.set()
        await running
        after = await until(metrics, lambda now: now.value("ledgerlift_uploads_running") == 0)
    assert seen.value("ledgerlift_uploads_running") == 1
    limit = seen.value("ledgerlift_upload_memory_limit_bytes")
    assert MIB <= seen.value("ledgerlift_upload_memory_used_bytes") <= limit == 512 * MIB
    assert after.value("ledgerlift_upload_memory_used_bytes") == 0
    assert after.value("ledgerlift_upload_streams_total", outcome="segment_end") == 1


async def test_a_breaker_that_opens_shows_and_so_does_what_it_refuses(tmp_path: Path) -> None:
    """The file store loses its folder: failed calls, the state, the calls refused since; closed again by hand."""
    async with measured(tmp_path, s3_failure_threshold=1, s3_recovery_timeout=600.0, health_cache_ttl=3600.0) as (
        channel,
        metrics,
    ):
        document = (await store(channel, content(1, 1000))).document
        before = await scrape(metrics)
        objects, aside = tmp_path / "data" / "objects", tmp_path / "aside"
        objects.rename(aside)
        request = documents_pb.DownloadDocumentRequest(document_id=document.document_id)
        await refused(documents(channel).DownloadDocument, request)
        await refused(documents(channel).DownloadDocument, request)
        opened = await scrape(metrics)
        aside.rename(objects)
        stub: Any = operations_service_pb2_grpc.OperationsServiceStub(channel)
        await stub.ResetCircuitBreaker(operations.ResetCircuitBreakerRequest(name="storage"), timeout=TIMEOUT)
        await fetch(channel, document.document_id)
        closed = await scrape(metrics)
    assert [_state(seen, "storage") for seen in (before, opened, closed)] == ["closed", "open", "closed"]
    assert _state(opened, "database") == "closed"
    assert opened.value("ledgerlift_breaker_opened_total", dependency="storage") == 1
    assert opened.value("ledgerlift_breaker_refused_total", dependency="storage") >= 1
    # Of the read, or of the janitor where it was faster.
    failed = [
        sample.value
        for family in opened.families.values()
        for sample in family.samples
        if sample.name == "ledgerlift_dependency_call_failures_total" and sample.labels["dependency"] == "storage"
    ]
    assert sum(failed) >= 1
    assert opened.calls("DownloadDocument", "UNAVAILABLE") == 2


async def test_the_janitor_s_work_adds_up(tmp_path: Path) -> None:
    """A deleted document's object is removed, the comparison at the start found nothing missing."""
    async with measured(tmp_path) as (channel, metrics):
        document = (await store(channel, content(1, 1000))).document
        await documents(channel).DeleteDocument(
            documents_pb.DeleteDocumentRequest(document_id=document.document_id), timeout=TIMEOUT
        )
        removed = {"action": "remove_object", "outcome": "done"}
        seen = await until(metrics, lambda now: now.value("ledgerlift_janitor_actions_total", **removed) == 1)
    assert seen.value("ledgerlift_janitor_passes_total", outcome="done") >= 1
    assert seen.value("ledgerlift_drift_comparisons_total") == 1
    assert seen.value("ledgerlift_drift_missing_objects") == 0
    assert [one.value for one in seen.families["ledgerlift_outbox_waiting_removals"].samples] == [0]


async def test_how_full_the_disk_is_shows_where_something_is_kept_on_it(tmp_path: Path) -> None:
    """A share, of the machine that this runs on."""
    async with measured(tmp_path) as (_, metrics):
        seen = await scrape(metrics)
    assert 0 < seen.value("ledgerlift_data_dir_used_ratio") <= 1


async def test_a_loop_that_is_held_up_shows_at_once_and_in_the_histogram(tmp_path: Path) -> None:
    """The scrape is answered while the loop hangs, and says for how long it has been hanging."""
    async with measured(tmp_path) as (_, metrics):
        await until(metrics, lambda now: now.value("ledgerlift_event_loop_lag_seconds_count") >= 1)
        # The server's loop is this test's own: nothing of it turns until one of these scrapes has said so.
        give_up_at = time.monotonic() + TIMEOUT
        while (hanging := scrape_in_place(metrics)).value("ledgerlift_event_loop_overdue_seconds") < 0.2:
            assert time.monotonic() < give_up_at, "it hangs, and the scrape does not say so"
        after = await until(metrics, lambda now: now.value("ledgerlift_event_loop_lag_seconds_sum") > 0.2)
    overdue = hanging.value("ledgerlift_event_loop_overdue_seconds")
    assert after.value("ledgerlift_event_loop_lag_seconds_sum") >= overdue


async def test_on_postgresql_the_pool_shows(tmp_path: Path, postgres_url: str) -> None:
    """Connections in use and the limit: DB_POOL_SIZE and DB_MAX_OVERFLOW."""
    async with measured(tmp_path, database_url=postgres_url, db_pool_size=3, db_max_overflow=2) as (_, metrics):
        seen = await scrape(metrics)
    assert seen.value("ledgerlift_database_pool_limit_connections") == 5
    assert seen.value("ledgerlift_bulkhead_threads", dependency="database") == 5
    assert 0 <= seen.value("ledgerlift_database_pool_in_use_connections") <= 5
    assert seen.families["ledgerlift_data_dir_used_ratio"].samples, "documents are files"


async def test_no_label_has_a_value_that_callers_make(tmp_path: Path) -> None:
    """Ids, owners, names, keys and types of documents and sessions stand in no series, so their number is bounded."""
    async with measured(tmp_path) as (channel, metrics):
        made = {"filename": "salaries.pdf", "key": "staff/2026", "request_id": "once-only"}
        document = (await store(channel, b"%PDF-1.7\n", content_type="application/pdf", **made)).document
        upload_id = await begin(channel)
        await fetch(channel, document.document_id)
        await refused(uploads(channel).GetUpload, pb.GetUploadRequest(upload_id=NOBODY))
        # The janitor's first pass, which compares and then counts, makes the series of both at its end.
        first = await until(metrics, lambda now: now.value("ledgerlift_janitor_passes_total", outcome="done") > 0)
        for number in range(5):
            await store(channel, content(number, 100), filename=f"{number}.bin", request_id=f"r{number}")
        second = await scrape(metrics)
    values = {value for family in second.families.values() for one in family.samples for value in one.labels.values()}
    secrets = {document.document_id, upload_id, NOBODY, "application/pdf", document.owner, *made.values()}
    assert not [value for value in values for secret in secrets if secret in value]
    assert _series(first) == _series(second), "the same calls again make no new series"
    operations_seen = {one.labels.get("operation", "") for f in second.families.values() for one in f.samples}
    assert all(re.fullmatch("[a-z_.]*", operation) for operation in operations_seen)


async def test_without_performance_monitoring_nothing_is_timed(tmp_path: Path) -> None:
    """Calls are counted as before; durations and the loop's lag are not there."""
    async with measured(tmp_path, enable_performance_monitoring=False) as (channel, metrics):
        await uploads(channel).GetLimits(pb.GetLimitsRequest(), timeout=TIMEOUT)
        seen = await scrape(metrics)
    assert seen.calls("GetLimits", "OK") == 1
    assert not [name for name in seen.families if "rpc_duration" in name or "event_loop" in name]


async def test_without_an_address_there_are_none(tmp_path: Path) -> None:
    """The default: no port is opened."""
    async with measured(tmp_path, metrics_address=None) as (_, metrics):
        assert metrics is None


async def test_a_port_that_is_taken_is_said_by_the_name_of_its_setting(tmp_path: Path) -> None:
    """The second server does not start, and says why; the first one's metrics go on."""
    async with measured(tmp_path / "first") as (_, metrics):
        with pytest.raises(CannotStart, match=f"METRICS_ADDRESS: cannot listen on {metrics}: Address already in use"):
            async with measured(tmp_path / "second", metrics_address=metrics):
                pass
        await scrape(metrics)


async def test_two_servers_of_one_process_do_not_share_their_numbers(tmp_path: Path) -> None:
    """Each has a registry of its own."""
    async with measured(tmp_path / "first") as (channel, one), measured(tmp_path / "second") as (_, other):
        await uploads(channel).GetLimits(pb.GetLimitsRequest(), timeout=TIMEOUT)
        assert (await scrape(one)).calls("GetLimits", "OK") == 1
        assert (await scrape(other)).calls("GetLimits", "OK") == 0


def _state(seen: Scrape, dependency: str) -> str:
    values = {
        state: seen.value("ledgerlift_breaker_state", dependency=dependency, state=state)
        for state in ("closed", "open", "half_open")
    }
    assert sum(values.values()) == 1
    return next(state for state, value in values.items() if value)


def _series(seen: Scrape) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """But for those of the dependencies' operations, some of which go on beside the calls."""
    return {
        (one.name, tuple(sorted(one.labels.items())))
        for family in seen.families.values()
        for one in family.samples
        if "operation" not in one.labels
    }
