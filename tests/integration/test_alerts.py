"""Alerts under real faults: a server has one, is scraped, and the rules say so. The others: deploy/prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import grpc
import psycopg2
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.adapters.sql.outbox import queue_removals
from ledgerlift_server.core import built

from tests.support.alerting import fires
from tests.support.raw_calls import begin, documents, store, until_durable
from tests.support.raw_uploads import content, spec, uploads
from tests.support.refusals import refused
from tests.support.scrape import scrape, scrape_in_place, until
from tests.support.server import in_process_server, isolated_settings

PART = 64 * 1024
QUICK = {"janitor_interval": 0.1}
"""So that what the janitor finds shows while the test runs."""


@asynccontextmanager
async def measured(folder: Path, **settings: Any) -> AsyncIterator[tuple[grpc.aio.Channel, str | None]]:
    """A server, a channel to it, and where its metrics are."""
    async with (
        in_process_server(folder, metrics_address="127.0.0.1:0", **settings) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield channel, server.metrics_address


async def test_a_store_that_is_lost_opens_a_breaker_and_fails_calls(tmp_path: Path) -> None:
    """LedgerLiftBreakerOpen and LedgerLiftCallsFailFast: the file store's folder is gone, and downloads with it."""
    async with measured(tmp_path, s3_failure_threshold=1, s3_recovery_timeout=600.0) as (channel, metrics):
        document = (await store(channel, content(1, 1000))).document
        before = await scrape(metrics)
        (tmp_path / "data" / "objects").rename(tmp_path / "aside")
        for _ in range(3):
            request = documents_pb.DownloadDocumentRequest(document_id=document.document_id)
            await refused(documents(channel).DownloadDocument, request)
        under = await until(metrics, lambda now: now.calls("DownloadDocument", "UNAVAILABLE") == 3)
        (tmp_path / "aside").rename(tmp_path / "data" / "objects")
    fires("LedgerLiftBreakerOpen", before, under, tmp_path, minutes=4)
    fires("LedgerLiftCallsFailFast", before, under, tmp_path, minutes=4)


async def test_removals_that_the_store_refuses_pile_up(tmp_path: Path) -> None:
    """LedgerLiftOutboxNotEmptied: 101 of them, and the store's folder is gone."""
    async with measured(tmp_path, **QUICK) as (_, metrics):
        before = await until(metrics, lambda now: bool(now.families["ledgerlift_outbox_waiting_removals"].samples))
        (tmp_path / "data" / "objects").rename(tmp_path / "aside")
        async with built(
            isolated_settings(tmp_path / "other", database_url=f"sqlite:///{tmp_path}/data/ledgerlift.db")
        ) as beside:
            leftovers = [(f"objects/{number}", None) for number in range(101)]
            await beside.database.write("test.queue", lambda tx: queue_removals(tx, leftovers))
        under = await until(metrics, lambda now: now.value("ledgerlift_outbox_waiting_removals") == 101)
        (tmp_path / "aside").rename(tmp_path / "data" / "objects")
    fires("LedgerLiftOutboxNotEmptied", before, under, tmp_path, minutes=40)


async def test_an_object_that_somebody_removed_is_told(tmp_path: Path) -> None:
    """LedgerLiftObjectsMissing, by the comparison after it."""
    async with measured(tmp_path, **QUICK, janitor_drift_interval=0.1) as (channel, metrics):
        await store(channel, content(1, 1000))
        before = await until(metrics, lambda now: now.value("ledgerlift_drift_comparisons_total") > 0)
        stored = [
            path
            for path in (tmp_path / "data" / "objects").rglob("*")
            if path.is_file() and path.stat().st_size >= 1000
        ]
        assert len(stored) == 1
        stored[0].unlink()
        under = await until(metrics, lambda now: now.value("ledgerlift_drift_missing_objects") == 1)
    fires("LedgerLiftObjectsMissing", before, under, tmp_path, minutes=1)


async def test_a_janitor_that_waits_for_a_lease_cleans_up_nothing(tmp_path: Path) -> None:
    """LedgerLiftJanitorNotRunning, where the holder is not seen: as if it hung."""
    async with measured(tmp_path, **QUICK) as (_, holder):
        await until(holder, lambda now: now.value("ledgerlift_janitor_passes_total", outcome="done") > 0)
        async with measured(tmp_path, **QUICK) as (_, metrics):
            before = await scrape(metrics)
            more = before.value("ledgerlift_janitor_passes_total", outcome="not_holder") + 1
            under = await until(
                metrics, lambda now: now.value("ledgerlift_janitor_passes_total", outcome="not_holder") >= more
            )
    fires("LedgerLiftJanitorNotRunning", before, under, tmp_path, minutes=12)


async def test_uploads_that_wait_for_memory(tmp_path: Path) -> None:
    """LedgerLiftUploadBudgetExhausted: one upload holds all there is, the next one waits."""
    settings = {"upload_part_size": PART, "upload_memory_budget": PART, "max_file_size": 100 * PART}
    data = content(1, PART + 1000)
    async with measured(tmp_path, **settings, upload_budget_wait=60.0) as (channel, metrics):
        before = await scrape(metrics)
        holder = await begin(channel)
        holding = uploads(channel).Upload(timeout=60)
        await holding.write(pb.UploadRequest(upload_id=holder, data=data))
        await until_durable(channel, holder, PART)  # its first buffer has come back, and it waits with the second
        waiting = uploads(channel).Upload(timeout=60)
        await waiting.write(pb.UploadRequest(upload_id=await begin(channel), data=data))
        under = await until(metrics, lambda now: now.value("ledgerlift_upload_memory_waiting_streams") > 0)
        waiting.cancel()
        holding.cancel()
    fires("LedgerLiftUploadBudgetExhausted", before, under, tmp_path, minutes=8)


async def test_clients_that_stop_sending(tmp_path: Path) -> None:
    """LedgerLiftUploadsStall: they open a stream, send a byte, and nothing more."""
    async with measured(tmp_path, upload_stall_timeout=0.1) as (channel, metrics):
        before = await scrape(metrics)
        call = uploads(channel).Upload(timeout=60)
        await call.write(pb.UploadRequest(spec=spec(), accept_partial=True, data=b"x"))
        await call
        under = await until(metrics, lambda now: now.value("ledgerlift_upload_streams_total", outcome="stalled") == 1)
    fires("LedgerLiftUploadsStall", before, under, tmp_path, minutes=20)


async def test_slots_that_are_all_taken(tmp_path: Path) -> None:
    """LedgerLiftCallsRefused: one watch is let in, the next one is not."""
    async with measured(tmp_path, max_concurrent_watches=1) as (channel, metrics):
        request = pb.WatchUploadRequest(upload_id=await begin(channel))
        watching = uploads(channel).WatchUpload(request, timeout=60)
        await watching.read()
        before = await scrape(metrics)
        await refused(uploads(channel).WatchUpload, request)
        under = await until(metrics, lambda now: now.value("ledgerlift_admission_refused_total", kind="watches") == 1)
        watching.cancel()
    fires("LedgerLiftCallsRefused", before, under, tmp_path, minutes=12)


async def test_a_loop_that_is_held_up(tmp_path: Path) -> None:
    """LedgerLiftEventLoopLate: turns that come half a second late."""
    async with measured(tmp_path) as (_, metrics):
        before = await until(metrics, lambda now: now.value("ledgerlift_event_loop_lag_seconds_count") >= 1)
        # The server's loop is this test's own: nothing of it turns until a scrape has said for how long.
        give_up_at = time.monotonic() + 60
        while scrape_in_place(metrics).value("ledgerlift_event_loop_overdue_seconds") < 0.5:
            assert time.monotonic() < give_up_at, "it hangs, and the scrape does not say so"
        under = await until(
            metrics,
            lambda now: (
                now.value("ledgerlift_event_loop_lag_seconds_sum")
                > before.value("ledgerlift_event_loop_lag_seconds_sum") + 0.5
            ),
        )
    fires("LedgerLiftEventLoopLate", before, under, tmp_path, minutes=16)


async def test_calls_that_wait_for_a_connection(tmp_path: Path, postgres_url: str) -> None:
    """LedgerLiftPoolExhausted: a pool of one, and somebody who holds the lock on a table."""
    settings = {"database_url": postgres_url, "db_pool_size": 1, "db_max_overflow": 0}
    async with measured(tmp_path, **settings) as (channel, metrics):
        before = await until(
            metrics, lambda now: now.value("ledgerlift_bulkhead_waiting_calls", dependency="database") == 0
        )
        with closing(psycopg2.connect(postgres_url)) as holder:
            with holder.cursor() as cursor:
                cursor.execute("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE")
            calls = [
                asyncio.ensure_future(
                    documents(channel).ListDocuments(documents_pb.ListDocumentsRequest(), timeout=60)
                )
                for _ in range(3)
            ]
            under = await until(
                metrics, lambda now: now.value("ledgerlift_bulkhead_waiting_calls", dependency="database") > 0
            )
            holder.rollback()
        await asyncio.gather(*calls, return_exceptions=True)
    fires("LedgerLiftPoolExhausted", before, under, tmp_path, minutes=5)
