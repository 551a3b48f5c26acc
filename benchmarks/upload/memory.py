"""Resident memory of the server while it takes one large upload.

    bound = idle + (parts in flight + 1) x part size + 32 MiB

The part buffers of one stream, and what transport, threads and allocator may take beside them. Sampled every 20 ms;
the kernel's own high-water mark (Linux), which misses nothing, is told as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil
from ledgerlift_client import LedgerLiftClient

from benchmarks.upload.ours import LedgerLiftUpload, Service
from benchmarks.upload.payload import MIB, Payload

SAMPLE_INTERVAL = 0.02
"""Seconds between two looks."""
IDLE_TIME = 1.0
"""Seconds of looking before the first upload."""
PARTS_IN_FLIGHT = 4
"""The server's default of UPLOAD_PARTS_IN_FLIGHT."""
HEADROOM = 32 * MIB


@dataclass(frozen=True, slots=True)
class MemoryResult:
    """Bytes. `peaks` has one entry for each upload, in order, all on one server."""

    store: str
    upload_size: int
    idle: int
    peaks: tuple[int, ...]
    high_water: int | None
    bound: int

    @property
    def met(self) -> bool:
        """No sample of any upload was above the bound."""
        return max(self.peaks) <= self.bound


async def measure(store: str, service: Service, payload: Payload, rounds: int) -> MemoryResult:
    """Uploads `payload` so often to a server that has not served yet."""
    process = service.process
    async with _sampled(process) as samples:
        await asyncio.sleep(IDLE_TIME)
    idle = int(median(samples))
    peaks = []
    with LedgerLiftClient(service.address) as client:
        part_size = client.limits().part_size
        upload = LedgerLiftUpload(service, client)
        for _ in range(rounds):
            payload.stamp()
            async with _sampled(process) as samples:
                await upload.send(payload)
            peaks.append(max(samples))
            await upload.tidy()
    bound = idle + (PARTS_IN_FLIGHT + 1) * part_size + HEADROOM
    return MemoryResult(store, payload.size, idle, tuple(peaks), _high_water(process.pid), bound)


@asynccontextmanager
async def _sampled(process: psutil.Process) -> AsyncIterator[list[int]]:
    samples = [process.memory_info().rss]

    async def sample() -> None:
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            samples.append(process.memory_info().rss)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()


def _high_water(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
