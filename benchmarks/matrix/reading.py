"""Downloads and short calls: how soon the first byte is there, how fast the rest, and what a question costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from ledgerlift_client import LedgerLiftClient

from benchmarks.matrix.bodies import MIB
from benchmarks.matrix.findings import Chart, Finding, shown, size_name
from benchmarks.matrix.plan import Plan, say
from benchmarks.matrix.senders import Boto3, Ours
from benchmarks.upload.ours import ledgerlift
from benchmarks.upload.peers.versitygw import versitygw
from benchmarks.upload.stats import Spread

READ_SIZE = MIB
CALLS = 300


async def downloads(plan: Plan) -> list[Finding]:
    """From files and from S3, beside boto3 from the same S3 server. What our client checks, boto3 does not."""
    found = Finding(
        "Downloads",
        f"One client; medians (lowest - highest) of {plan.rounds} interleaved rounds. Every chunk's CRC and the "
        "whole digest are checked on our side, twice; boto3 checks nothing.",
        ("size", "", "first byte, ms", "MiB/s"),
        chart=Chart("first-byte", "Time to the first byte of a download", "document, bytes", "ms"),
    )
    place = plan.folder("downloads")
    async with AsyncExitStack() as stack:
        files = await stack.enter_async_context(ledgerlift(place / "files"))
        target = await stack.enter_async_context(versitygw(place / "store"))
        s3 = await stack.enter_async_context(ledgerlift(place / "s3", target))
        readers = {
            name: Ours(stack.enter_context(LedgerLiftClient(one.address)), one.process)
            for name, one in (("LedgerLift, files", files), ("LedgerLift, S3", s3))
        }
        boto3 = Boto3(target)
        for size in plan.sizes:
            if size > plan.most or plan.over(f"downloads of {size_name(size)}"):
                continue
            ways = {name: await asyncio.to_thread(_ours, one, size) for name, one in readers.items()}
            ways["boto3"] = await asyncio.to_thread(_boto3, boto3, size)
            measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for number in range(plan.rounds + 1):
                for name, way in ways.items():
                    figures = await asyncio.to_thread(way)
                    if number:
                        measured[name].append(figures)
            for name, rounds in measured.items():
                first = Spread.of([1000 * one for one, _ in rounds])
                rate = Spread.of([size / MIB / whole for _, whole in rounds])
                found.rows.append((size_name(size), name, shown(first, 1), shown(rate, 1)))
                assert found.chart is not None
                found.chart.add(name, size, first)
                say(f"  {name:20} {size_name(size):>8} {first.median:8.1f} ms {rate.median:8.1f} MiB/s")
    return [found]


async def short_calls(plan: Plan) -> list[Finding]:
    """One client, one call behind the other."""
    found = Finding(
        "Short calls",
        f"SQLite and files, one client that waits for each answer, {CALLS} calls; milliseconds.",
        ("call", "p50", "p99"),
    )
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(ledgerlift(plan.folder("calls")))
        client = stack.enter_context(LedgerLiftClient(service.address))
        document = client.upload(b"x" * 1000, filename="a.bin").document.document_id
        calls: dict[str, Callable[[], Any]] = {
            "GetLimits (no database)": client.limits,
            "GetDocument": lambda: client.get(document),
            "Upload of 1 KiB": lambda: client.upload(time.perf_counter_ns().to_bytes(1024, "big"), filename="a.bin"),
        }
        for name, call in calls.items():
            times = await asyncio.to_thread(_timed, call)
            found.rows.append((name, f"{times[len(times) // 2]:.2f}", f"{times[len(times) * 99 // 100]:.2f}"))
    return [found]


def _timed(call: Callable[[], Any]) -> list[float]:
    times = []
    for number in range(CALLS + 20):
        begun = time.perf_counter()
        call()
        if number >= 20:
            times.append(1000 * (time.perf_counter() - begun))
    return sorted(times)


def _ours(reader: Ours, size: int) -> Callable[[], tuple[float, float]]:
    reader.send(size)
    document = reader.ids.get()

    def read() -> tuple[float, float]:
        begun = time.perf_counter()
        chunks = reader.client.download_chunks(document)
        count = len(next(chunks, b""))
        first = time.perf_counter() - begun
        count += sum(map(len, chunks))
        assert count == size
        return first, time.perf_counter() - begun

    return read


def _boto3(sender: Boto3, size: int) -> Callable[[], tuple[float, float]]:
    key = sender.put(size)

    def read() -> tuple[float, float]:
        begun = time.perf_counter()
        body = sender.client.get_object(Bucket=sender.bucket, Key=key)["Body"]
        count = len(body.read(min(size, 1)))
        first = time.perf_counter() - begun
        while block := body.read(READ_SIZE):
            count += len(block)
        assert count == size
        return first, time.perf_counter() - begun

    return read
