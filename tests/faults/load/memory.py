"""Memory is a budget (DESIGN section 4, rule 11): many uploads at once, and many streams that do nothing."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import ClientOptions, LedgerLiftClient, LedgerLiftError

from tests.faults.claims import Claim
from tests.faults.load.pool import Pool
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME, spec, uploads
from tests.support.resident_memory import high_water, reset_high_water, resident
from tests.support.server import ServerProcess
from tests.support.stores import MIB, Stores

IDLE_COST = 100 * MIB
"""What 1,000 idle streams may add."""
PATIENCE = 900.0
"""Seconds that everything together gets."""
CLIENTS = 8
"""Processes that the uploading clients share."""
NICENESS = 10
"""Of those processes, which would have processors of their own: the server is measured, not who of 200 threads
beside it gets its turn. Without it a call waits for many seconds until the server may take it in."""
CALLS_OF_ONE_CONNECTION = 20
"""Idle streams that share a connection."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What the clients saw: how many documents came to be whole, and how often one had to ask again."""

    whole: int
    again: int
    seconds: float
    errors: tuple[str, ...]


async def many_uploads(stores: Stores, *, count: int, size: int, budget: int) -> list[Claim]:
    """So many clients, each on a connection of its own, upload a document of `size` bytes at the same time."""
    async with stores.server(
        MAX_CONCURRENT_UPLOADS=str(2 * count), UPLOAD_MEMORY_BUDGET=str(budget), HEALTH_CACHE_TTL="1"
    ) as server:
        idle = await _warm(server)
        uploaded = await asyncio.to_thread(_upload_all, server.address, count, size)
        peak = high_water(server.pid)
        after = resident(server.pid)
        code = await server.stop()
    most = idle + budget * 5 // 4
    rate = count * size / MIB / uploaded.seconds
    return [
        Claim(
            f"{count} uploads of {size // MIB} MiB at once end whole",
            f"{uploaded.whole} whole, {uploaded.seconds:.0f} s, {rate:.0f} MiB/s, {uploaded.again} attempts again"
            + "".join(f"; {error}" for error in uploaded.errors[:1]),
            "all whole",
            uploaded.whole == count and code == 0,
        ),
        Claim(
            "  resident memory at its highest",
            f"{_mib(peak)} ({_mib(idle)} idle, {_mib(after)} after)",
            f"idle + {_mib(budget)} + 25 % = {_mib(most)}",
            peak <= most,
        ),
    ]


async def idle_streams(stores: Stores, *, count: int) -> list[Claim]:
    """So many clients open an upload and send nothing but what it is about."""
    async with stores.server(MAX_CONCURRENT_UPLOADS=str(2 * count), UPLOAD_STALL_TIMEOUT="600") as server:
        idle = await _warm(server)
        calls = []
        channels = [_own_connection(server.address, n) for n in range(-(-count // CALLS_OF_ONE_CONNECTION))]
        for number in range(count):
            call = uploads(channels[number // CALLS_OF_ONE_CONNECTION]).Upload(timeout=PATIENCE)
            await call.write(pb.UploadRequest(spec=spec(f"idle-{number}"), accept_partial=True))
            await call.initial_metadata()  # the server has its session
            calls.append(call)
        cost = resident(server.pid) - idle
        ended = sum(call.done() for call in calls)
        for channel in channels:
            await channel.close()
        await server.kill()
    return [
        Claim(
            f"{count} idle Upload streams cost",
            f"{_mib(cost)} ({cost // count // 1024} KiB each), {ended} ended",
            f"< {_mib(IDLE_COST * count // 1000)}",
            cost < IDLE_COST * count // 1000 and ended == 0,
        )
    ]


async def _warm(server: ServerProcess) -> int:
    """What is resident once everything that is loaded at first use has been: one small upload, one at a time."""

    def upload() -> None:
        with LedgerLiftClient(server.address) as client:
            for number in range(3):
                client.upload(bytes([number]) * MIB, filename=FILENAME, content_type=CONTENT_TYPE)

    await asyncio.to_thread(upload)
    reset_high_water(server.pid)
    return resident(server.pid)


def _upload_all(address: str, count: int, size: int) -> Uploaded:
    """From several processes: in one, 200 threads would wait for its interpreter longer than a call may take."""
    began = time.monotonic()
    with ProcessPoolExecutor(CLIENTS, get_context("spawn"), initializer=os.nice, initargs=(NICENESS,)) as processes:
        shares = [range(first, count, CLIENTS) for first in range(CLIENTS)]
        running = [processes.submit(_upload_share, address, share, count, size) for share in shares]
        results = [result for one in running for result in one.result()]
    return Uploaded(
        whole=sum(right for right, _, _ in results),
        again=sum(again for _, again, _ in results),
        seconds=time.monotonic() - began,
        errors=tuple(error for _, _, error in results if error),
    )


def _upload_share(address: str, share: range, count: int, size: int) -> list[tuple[bool, int, str]]:
    """Of each upload: whether the document is what was sent, attempts beyond the first, and what it failed with."""
    pool = Pool(count, size)

    def upload(number: int) -> tuple[bool, int, str]:
        # Channels that are told exactly the same share a connection: these are not.
        options = ClientOptions(keepalive_time=60.0 + number / 1000, patience=PATIENCE, max_attempts=1000)
        try:
            with LedgerLiftClient(address, options=options) as client:
                result = client.upload(
                    pool[number], filename=FILENAME, content_type=CONTENT_TYPE, request_id=f"load-{number}"
                )
        except LedgerLiftError as error:
            return False, error.attempts, repr(error)
        return result.document.sha256 == pool.sha256(number), result.attempts - 1, ""

    with ThreadPoolExecutor(len(share)) as threads:
        return list(threads.map(upload, share))


def _own_connection(address: str, number: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1), ("ledgerlift.number", number)])


def _mib(size: int) -> str:
    return f"{size / MIB:.0f} MiB"
