"""Every alert fires for its fault: real servers that have it, a real Prometheus that scrapes them, and the rules.

All faults at once, each in a scrape job of its own, beside a server that is well and stays silent. That alerts fire
after the minutes and days that are deployed, and for nothing less than their fault, the rules' unit tests show.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from ledgerlift.v1 import document_service_pb2 as documents_pb

from tests.repo.monitoring import alerts, selectors
from tests.support.alert_faults import FAULTS, PAUSE, GoWrong, Ground
from tests.support.alerting import LOOKBACK, Fired, fired, hold_summaries, in_seconds
from tests.support.ports import held_port
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.raw_calls import documents, fetch, store
from tests.support.raw_uploads import content
from tests.support.s3 import S3Server
from tests.support.server import ServerProcess
from tests.support.small_disk import CannotMount

WELL = "ledgerlift"
"""The job by whose name the rules know that a server is gone."""
GONE, NOT_SCRAPED = "LedgerLiftDown", "LedgerLiftNotScraped"
PATIENCE = 180.0
"""Seconds; a busy machine takes its time."""


def test_no_alert_is_without_its_fault() -> None:
    """Each that is deployed is fired below: by one of the faults, or by what becomes of the server that was well."""
    by_faults = [alert for fault in FAULTS.values() for alert in fault.alerts]
    assert sorted([*by_faults, GONE, NOT_SCRAPED]) == sorted(alerts())


@pytest.mark.timeout(600)
async def test_every_alert_fires_for_its_fault_and_none_for_a_server_that_is_well(
    tmp_path: Path, postgres_url: str, own_s3_server: S3Server
) -> None:
    """All faults at once; then the server that was well is killed, and then nobody scrapes it any more."""
    ground = Ground(tmp_path / "faulty", postgres_url, own_s3_server)
    async with AsyncExitStack() as stack:
        replicas = {WELL: 1} | {name: fault.replicas for name, fault in FAULTS.items()}
        targets = {
            name: [f"127.0.0.1:{stack.enter_context(held_port())}" for _ in range(count)]
            for name, count in replicas.items()
        }
        # Before the servers, whose addresses are known: it looks for its targets five seconds after its start.
        prometheus = stack.enter_context(
            running_prometheus(tmp_path / "prometheus", targets=targets, lookback=LOOKBACK)
        )
        well = await stack.enter_async_context(server_that_is_well(tmp_path / "well", *targets[WELL]))
        await stack.enter_async_context(going_on([use(well)]))
        go_wrong, left_out = await faulty_servers(ground, targets, stack)
        expected = {(name, alert) for name in go_wrong for alert in FAULTS[name].alerts}

        everybody = sum(replicas[name] for name in (WELL, *go_wrong))
        await asyncio.to_thread(prometheus.until, f"count(max_over_time(up[1h]) == 1) == {everybody}")
        prometheus.take_rules(in_seconds(tmp_path))
        await asyncio.to_thread(prometheus.until, f'job:ledgerlift_rpc_calls:rate5m{{job="{WELL}"}} > 0')
        assert fired(prometheus) == set()
        async with going_on(fault(prometheus) for fault in go_wrong.values()) as causes:
            await until_fired(prometheus, expected, causes)
            hold_summaries(prometheus)
        assert {alert for job, alert in fired(prometheus) if job == WELL} == set()
        hold_told(prometheus)

        await well.kill()
        await until_fired(prometheus, {(WELL, GONE)})
        assert (WELL, NOT_SCRAPED) not in fired(prometheus)
        prometheus.forget(WELL)
        await until_fired(prometheus, {(WELL, NOT_SCRAPED)})
    if left_out:
        pytest.skip(f"not fired, all others were: {'; '.join(left_out)}")


@asynccontextmanager
async def server_that_is_well(folder: Path, metrics: str) -> AsyncIterator[ServerProcess]:
    """In a process of its own, so that what is done to the others does not make it late."""
    often = {"JANITOR_INTERVAL": "0.1", "JANITOR_DRIFT_INTERVAL": "0.1", "HEALTH_CACHE_TTL": "0.2"}
    process = ServerProcess(folder, {"METRICS_ADDRESS": metrics, **often})
    try:
        await process.start()
        yield process
    finally:
        await process.kill()


async def faulty_servers(
    ground: Ground, metrics: dict[str, list[str]], stack: AsyncExitStack
) -> tuple[dict[str, GoWrong], list[str]]:
    """Servers that are well yet, by job; and for what this machine has no fault, with the reason."""
    go_wrong, left_out = {}, []
    for name, fault in FAULTS.items():
        try:
            go_wrong[name] = await stack.enter_async_context(fault.servers(ground, metrics[name]))
        except CannotMount as why:
            left_out.append(f"{', '.join(fault.alerts)} ({why})")
    return go_wrong, left_out


async def use(server: ServerProcess) -> None:
    """Calls that succeed, on and on, until it is gone."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        with suppress(grpc.aio.AioRpcError):
            for number in range(1_000_000):
                stored = (await store(channel, content(number, 1000))).document
                await fetch(channel, stored.document_id)
                await documents(channel).ListDocuments(documents_pb.ListDocumentsRequest())
                await asyncio.sleep(PAUSE)


@asynccontextmanager
async def going_on(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """All of it, during the block; cancelled behind it."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_fired(
    prometheus: Prometheus, expected: set[Fired], causes: Iterable[asyncio.Task[None]] = ()
) -> None:
    """Return once all have. Fails at once where a fault could not be caused."""
    give_up_at = time.monotonic() + PATIENCE
    while missing := expected - await asyncio.to_thread(fired, prometheus):
        for cause in causes:
            assert not cause.done(), f"a fault was over before its alerts: {cause.result()}"
        assert time.monotonic() < give_up_at, f"never fired: {sorted(missing)}"
        await asyncio.sleep(0.2)  # asking is all that tells of it


def hold_told(prometheus: Prometheus) -> None:
    """The server that is well was not silent for want of something to say: it tells all that alerts ask for."""
    asked = {one.metric for rule in alerts().values() for one in selectors(rule["expr"])}
    told = {one["metric"]["__name__"] for one in prometheus.query(f'{{job="{WELL}"}}')}
    assert asked - told == set()
