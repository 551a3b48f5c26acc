"""What goes wrong around a replica: it is full, its store or its database is away, it dies, it is shut down."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Any

import grpc
import psycopg2
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support import every_method
from tests.support.fleet import DATABASE, DOWNLOADS, QUERIES, STORE, STORE_THREADS, UPLOADS, Fleet, Replica
from tests.support.fleet_traffic import PART
from tests.support.raw_calls import begin, delete, documents, fetch, store, until_durable
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import outcome, refused
from tests.support.scrape import Scrape

SLOW = 5.5
"""Seconds; a breaker calls slow what takes 5."""
TABLES = "sessions, blobs, documents, events"
"""In the order in which transactions take them."""
HAMMERS = 60
"""Callers at once. Each is tried again twice, and the budget has 100 further attempts."""


async def everything_full(fleet: Fleet, one: Replica, small: str) -> None:
    """The store answers late, and somebody keeps the tables of the database to themselves.

    `small` is a document of one block. Slots, threads, connections and memory are all taken, and others wait.
    """
    metrics, channel = one.metrics, one.channel
    await metrics.until_nothing("ledgerlift_admission_in_use_slots", kind="uploads")
    session = await begin(channel)
    fleet.proxy.delay(STORE, SLOW)
    slow = [asyncio.ensure_future(fetch(channel, small))]
    await metrics.until_moved("ledgerlift_bulkhead_running_calls", dependency="storage")
    for seed in range(UPLOADS):
        sent = messages(content(20 + seed, 3 * PART), finish=True, spec=spec())
        slow.append(asyncio.ensure_future(uploads(channel).Upload(sent, timeout=60)))
    await metrics.until("uploads that wait for memory", _uploads_wait)
    await refused(uploads(channel).Upload, iter([pb.UploadRequest(spec=spec(), data=b"x", finish_write=True)]))
    asked = every_method.of_the_database(channel, small, session)
    with closing(psycopg2.connect(fleet.stores.environment["DATABASE_URL"])) as holder:
        with holder.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")

        async def shown() -> None:
            await metrics.until("every query in flight", lambda now: _all_in_flight(now, asked))
            request = documents_pb.GetDocumentRequest(document_id=small)
            while not (await metrics.scrape()).value("ledgerlift_admission_refused_total", kind="queries"):
                await outcome(documents(channel).GetDocument, request, timeout=1)
            for dependency in (STORE, DATABASE):
                await metrics.until_moved("ledgerlift_breaker_window_slow_calls", dependency=dependency)

        fill = ["GetDocument"] * (QUERIES - len(asked))
        await _while_asked([asked[name] for name in (*asked, *fill)], shown)
        holder.rollback()
    fleet.proxy.calm(STORE)
    await asyncio.gather(*slow, return_exceptions=True)  # what becomes of them is told elsewhere


def _uploads_wait(now: Scrape) -> bool:
    in_use = now.value("ledgerlift_admission_in_use_slots", kind="uploads")
    return in_use == UPLOADS and now.value("ledgerlift_upload_memory_waiting_streams") > 0


def _all_in_flight(now: Scrape, methods: Iterable[str]) -> bool:
    return (
        now.value("ledgerlift_admission_in_use_slots", kind="queries") == QUERIES
        and all(now.value("ledgerlift_rpc_in_flight_calls", method=method) > 0 for method in methods)
        and now.value("ledgerlift_database_pool_overflow_connections") > 0
        and now.value("ledgerlift_bulkhead_waiting_calls", dependency="database") > 0
    )


async def janitor_in_vain(fleet: Fleet, one: Replica) -> None:
    """The store is away when a commit is to be driven and an object to be removed."""
    upload_id, data = await begin(one.channel), content(30, 2 * PART)
    removed = (await store(one.channel, content(31, 1000))).document.document_id
    call = uploads(one.channel).Upload(timeout=60)
    for message in messages(data, upload_id=upload_id):
        await call.write(message)
    await until_durable(one.channel, upload_id, len(data))
    fleet.proxy.lead_nowhere(STORE)
    await delete(one.channel, removed)
    with suppress(grpc.aio.AioRpcError):
        await call.write(pb.UploadRequest(finish_write=True))
        await call
    fleet.backdate(upload_id)
    for action in ("drive_commit", "remove_object"):
        await one.metrics.until_moved("ledgerlift_janitor_actions_total", action=action, outcome="failed")
    await one.metrics.until_moved("ledgerlift_janitor_passes_total", outcome="failed")
    await one.metrics.until_moved("ledgerlift_outbox_waiting_removals")
    fleet.restore(STORE)
    # On a slow machine it failed so often meanwhile that its breaker is open, or about to be.
    await every_method.of_nobody(one.channel)["ResetCircuitBreaker"]()


async def store_away(fleet: Fleet, one: Replica, small: str) -> None:
    """It answers nothing while all threads ask it; then it is gone, and it comes back in two steps."""
    metrics = one.metrics
    fleet.proxy.black_hole(STORE)
    reads = [asyncio.ensure_future(fetch(one.channel, small)) for _ in range(DOWNLOADS)]
    await metrics.until("every thread of the store taken", _store_full)
    request = documents_pb.DownloadDocumentRequest(document_id=small)
    await refused(documents(one.channel).DownloadDocument, request)
    fleet.proxy.lead_nowhere(STORE)
    await asyncio.gather(*reads, return_exceptions=True)
    await metrics.until_moved("ledgerlift_retries_denied_total", layer="storage")

    async def read() -> None:
        await outcome(documents(one.channel).DownloadDocument, request, timeout=1)

    await _while_asked([read] * 2, lambda: _opened(fleet, one, STORE))


def _store_full(now: Scrape) -> bool:
    return (
        now.value("ledgerlift_bulkhead_running_calls", dependency="storage") == STORE_THREADS
        and now.value("ledgerlift_bulkhead_waiting_calls", dependency="storage") > 0
        and now.value("ledgerlift_admission_in_use_slots", kind="downloads") == DOWNLOADS
    )


async def _opened(fleet: Fleet, replica: Replica, dependency: str) -> None:
    """Its breaker opens, lets a probe through that hangs, and closes once there is an answer again."""
    state = {"name": "ledgerlift_breaker_state", "dependency": dependency}
    await replica.metrics.until_moved(**state, state="open")
    await replica.metrics.until_moved("ledgerlift_breaker_refused_total", dependency=dependency)
    fleet.restore(dependency)  # where it still is silent
    await replica.metrics.until_moved(**state, state="half_open")
    fleet.proxy.calm(dependency)
    await replica.metrics.until_moved(**state, state="closed")


async def _while_asked(calls: Sequence[every_method.Ask], until: Callable[[], Awaitable[None]]) -> None:
    """Make each of `calls` again and again, whatever becomes of it, until `until` returns."""

    async def forever(call: every_method.Ask) -> None:
        while True:
            with suppress(grpc.aio.AioRpcError):
                await call()

    asking = [asyncio.ensure_future(forever(call)) for call in calls]
    try:
        await until()
    finally:
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def database_away(fleet: Fleet, two: Replica, document_id: str) -> None:
    """It answers nothing, then its connections break, and it comes back in two steps."""
    metrics, stub = two.metrics, documents(two.channel)
    request = documents_pb.GetDocumentRequest(document_id=document_id)
    await metrics.until_moved("ledgerlift_janitor_passes_total", outcome="not_holder")
    fleet.proxy.black_hole(DATABASE)

    async def no_connection_free() -> None:
        await metrics.until_moved("ledgerlift_retries_total", layer="call")
        await metrics.until_moved("ledgerlift_retries_denied_total", layer="call")

    async def connections_broken() -> None:
        for name in ("ledgerlift_retries_total", "ledgerlift_retries_denied_total"):
            await metrics.until_moved(name, layer="database")
        await _opened(fleet, two, DATABASE)

    async def ask(seconds: float) -> None:
        await outcome(stub.GetDocument, request, timeout=seconds)

    await _while_asked([partial(ask, 3.0)] * HAMMERS, no_connection_free)
    fleet.proxy.lead_nowhere(DATABASE)
    await _while_asked([partial(ask, 0.5)] * 2, connections_broken)


async def killed_in_a_commit(fleet: Fleet, one: Replica, two: Replica) -> None:
    """`two` dies; `one` carries on what it has left."""
    upload_id = await begin(two.channel)
    sent = messages(content(40, PART + 1000), upload_id=upload_id, finish=True)
    with suppress(grpc.aio.AioRpcError):
        await uploads(two.channel).Upload(sent, timeout=60)
    assert await two.process.wait() == -signal.SIGKILL
    fleet.backdate(upload_id)
    await one.metrics.until_moved("ledgerlift_janitor_actions_total", action="drive_commit", outcome="done")


async def drained(one: Replica, big: str) -> None:
    """A running upload is told what is durable; a download goes on, and so do the metrics until it has ended."""
    request = documents_pb.DownloadDocumentRequest(document_id=big)
    reading: Any = documents(one.channel).DownloadDocument(request, timeout=60)
    await reading.read()
    sending = uploads(one.channel).Upload(timeout=60)
    await sending.write(pb.UploadRequest(spec=spec(), accept_partial=True, data=b"x"))
    await sending.initial_metadata()
    one.process.send(signal.SIGTERM)
    assert (await sending).stop_reason == pb.STOP_REASON_DRAINING
    await one.metrics.until_moved("ledgerlift_upload_streams_total", outcome="draining")
    reading.cancel()
    assert await one.process.wait() == 0, one.process.output
