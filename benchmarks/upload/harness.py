"""Runs contestants in turn: A B C, A B C, ... so that whatever slows the machine slows all of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from benchmarks.upload.contestant import Contestant
from benchmarks.upload.payload import MIB, Payload
from benchmarks.upload.stats import Spread


@dataclass(slots=True)
class Track:
    """One contestant's rounds. The warm-up round is not among them."""

    name: str
    durability: str
    size: int
    seconds: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    """Processor seconds of the contestant's server; empty without one."""
    client_cpu: list[float] = field(default_factory=list)
    """Processor seconds of this process."""

    @property
    def rates(self) -> list[float]:
        """MiB a second, by round."""
        return [self.size / MIB / seconds for seconds in self.seconds]

    @property
    def rate(self) -> Spread:
        """MiB a second."""
        return Spread.of(self.rates)


async def run(
    contestants: Sequence[Contestant], payload: Payload, rounds: int, *, say: Callable[[str], None]
) -> dict[str, Track]:
    """The rounds of all contestants, by name, after one round that is not counted."""
    tracks = {one.name: Track(one.name, one.durability, payload.size) for one in contestants}
    for number in range(rounds + 1):
        for one in contestants:
            seconds, server_cpu, client_cpu = await _timed(one, payload)
            label = f"round {number}" if number else "warm-up"
            say(f"  {label:10} {one.name:28} {payload.size / MIB / seconds:8.0f} MiB/s")
            if number:
                track = tracks[one.name]
                track.seconds.append(seconds)
                track.client_cpu.append(client_cpu)
                if server_cpu is not None:
                    track.server_cpu.append(server_cpu)
    return tracks


async def _timed(one: Contestant, payload: Payload) -> tuple[float, float | None, float]:
    payload.stamp()
    await settle()
    here = psutil.Process()
    server_before, client_before = _cpu(one.server), _cpu(here)
    begun = time.perf_counter()
    await one.send(payload)
    seconds = time.perf_counter() - begun
    server_after, client_after = _cpu(one.server), _cpu(here)
    await one.tidy()
    server = None if server_before is None or server_after is None else server_after - server_before
    assert client_before is not None and client_after is not None
    return seconds, server, client_after - client_before


async def settle() -> None:
    """Wait until the disk has what was written before: nobody pays for what another did not wait for."""
    await asyncio.to_thread(os.sync)


def _cpu(process: psutil.Process | None) -> float | None:
    if process is None:
        return None
    times = process.cpu_times()
    return float(times.user + times.system)
