"""No metric is only a name: under load, faults and a drain, each one of them changes, and each of its labels' values.

Two server processes over PostgreSQL and S3, and one in this process over a folder, whose loop can be held up. What is
new and not covered here fails the test, and so does a name in the lists below that is not true any more.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import psutil
import pytest
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.repo.metrics_page import FREE, page
from tests.support import fleet_faults
from tests.support.fleet import Fleet, fleet
from tests.support.fleet_traffic import mixed_traffic
from tests.support.movement import Movements, Watched
from tests.support.raw_calls import store
from tests.support.raw_uploads import content, spec, uploads
from tests.support.s3 import S3Server
from tests.support.scrape import scrape_in_place
from tests.support.server import in_process_server

CONSTANT = {
    "ledgerlift_admission_limit_slots": "a setting",
    "ledgerlift_upload_memory_limit_bytes": "a setting",
    "ledgerlift_bulkhead_threads": "a setting",
    "ledgerlift_database_pool_limit_connections": "a setting",
    "ledgerlift_build_info": "a process has one version",
}
"""What never changes in the life of a process, and why."""
LEFT_OUT = {
    "ledgerlift_rpc_calls_total": {"code"},  # a watch never ends with OK; the codes are those that happened
    "ledgerlift_dependency_call_failures_total": {"operation"},  # not each of them fails here
}
"""Labels by metric: it is enough that it moves for one of their values."""
NEVER_SEEN_IN_FLIGHT = {"GetLimits", "GetHealth", "GetCircuitBreakers", "ResetCircuitBreaker", "GetStorageStats"} | {
    "Check",
    "List",
    "ServerReflectionInfo",
}
"""Methods that wait for nothing: a scrape meets them by chance only."""
ONLY_AT_THE_START = {"probe", "trash.empty", "maintenance.count_documents"}
"""Operations that may be over before the first scrape, and are not made again for minutes or at all."""
DEPENDENCIES = {"database", "storage"}
SMALL_DISK = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
"""Of memory, and a share of it is soon written. None: wherever temporary files go."""


@pytest.mark.timeout(300)  # 17 s alone; much of it is the waits of three servers that are out of order
async def test_every_metric_and_every_value_of_its_labels_moves(
    tmp_path: Path, postgres_url: str, s3_server: S3Server
) -> None:
    """All scrapes of all servers, from before the first call until after the last one."""
    movements = Movements(LEFT_OUT)
    async with fleet(tmp_path, postgres_url, s3_server, movements) as stores:
        await asyncio.gather(alone(tmp_path, movements), together(stores))
    hold(movements)


def excused(family: str, group: str) -> bool:
    """Whether it is by chance that a scrape sees it move."""
    if family == "ledgerlift_rpc_in_flight_calls":
        return any(f'method="{name}"' in group for name in NEVER_SEEN_IN_FLIGHT)
    return any(f'operation="{name}"' in group for name in ONLY_AT_THE_START)


def hold(movements: Movements) -> None:
    """Nothing is still but what is said to be, and every value that the page tells of has been seen to move."""
    still = [(family, group) for family, group in movements.still() if not excused(family, group)]
    left = [group for family, group in still if family not in CONSTANT]
    assert not left, "\n".join(["these never moved:", *left])
    assert {family for family, _ in still} == CONSTANT.keys()
    assert not [(name, str(group)) for name in CONSTANT for group in movements.moved(name)]
    for name, row in page().items():
        if not name.startswith("ledgerlift_") or name in CONSTANT:
            continue
        seen = {label: {dict(one.labels).get(label) for one in movements.moved(name)} for label in row.labels}
        told = set(re.findall("`([a-z_]+)`", row.meaning)) if row.labels - FREE else set()
        assert told <= set().union(*seen.values()), f"{name}: a value that the page tells of has not moved"
        named = DEPENDENCIES & set(re.findall("`([a-z]+)`", row.meaning)) or DEPENDENCIES
        assert seen.get("dependency", named) == named, f"{name}: has not moved for each dependency"


async def together(stores: Fleet) -> None:
    """Two replicas: traffic, then all that can go wrong around each of them at the same time, and the end of both."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(stores.one())
        big, two = await asyncio.gather(mixed_traffic(stores, one), stack.enter_async_context(stores.two()))
        small = (await store(one.channel, content(6, 1000))).document.document_id

        async def the_store_s() -> None:
            await fleet_faults.everything_full(stores, one, small)
            await fleet_faults.janitor_in_vain(stores, one)
            await fleet_faults.store_away(stores, one, small)

        await asyncio.gather(the_store_s(), fleet_faults.database_away(stores, two, small))
        await fleet_faults.killed_in_a_commit(stores, one, two)
        await fleet_faults.drained(one, big)


async def alone(folder: Path, movements: Movements) -> None:
    """A server that keeps its files on a disk that fills up. Its loop is this test's, and hangs when that does."""
    with tempfile.TemporaryDirectory(dir=SMALL_DISK) as disk:
        settings = {"data_dir": Path(disk), "health_cache_ttl": 0.1, "upload_stall_timeout": 0.1}
        async with (
            in_process_server(folder, metrics_address="127.0.0.1:0", **settings) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            metrics = Watched("alone", server.metrics_address or "", movements)
            empty = (await metrics.scrape()).value("ledgerlift_data_dir_used_ratio")
            with (Path(disk) / "filler").open("wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, psutil.disk_usage(disk).total // 400)
                await metrics.until("a fuller disk", lambda now: now.value("ledgerlift_data_dir_used_ratio") != empty)
            call = uploads(channel).Upload(timeout=60)
            await call.write(pb.UploadRequest(spec=spec(), accept_partial=True, data=b"x"))
            assert (await call).stop_reason == pb.STOP_REASON_STALLED
            await metrics.until_moved("ledgerlift_upload_streams_total", outcome="stalled")
            await metrics.until_moved("ledgerlift_event_loop_lag_seconds_count")
            # Nothing of the loop turns until a scrape has said so.
            while True:
                seen = scrape_in_place(metrics.address)
                if seen.value("ledgerlift_event_loop_overdue_seconds") > 0.1:
                    break
            movements.see("alone", seen)
            await metrics.scrape()
