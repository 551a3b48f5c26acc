"""What grows with what: memory with clients, a part's cost with the parts before it; and how long a start takes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psutil
from ledgerlift_client import LedgerLiftClient
from ledgerlift_server.domain.upload_options import UploadOptions

from benchmarks.matrix import load
from benchmarks.matrix.bodies import KIB, MIB, Body
from benchmarks.matrix.findings import Chart, Finding, shown
from benchmarks.matrix.plan import Plan, say
from benchmarks.matrix.senders import Ours
from benchmarks.upload.ours import Service, ledgerlift
from benchmarks.upload.peers.versitygw import versitygw
from benchmarks.upload.stats import Spread

SAMPLE_INTERVAL = 0.02
PART = 4 * KIB
"""Bytes of the parts that are many."""
LOADED = 16 * MIB
"""Bytes of each document under which memory is looked at."""


async def memory(plan: Plan) -> list[Finding]:
    """Resident memory of the server by clients; a fresh server for each number."""
    budget = UploadOptions().memory_budget
    found = Finding(
        "Memory of the server under load",
        f"Resident, at the most, while so many clients upload documents of {LOADED // MIB} MiB one behind the other "
        f"for {plan.cell:g} s; a fresh server for each number. UPLOAD_MEMORY_BUDGET is {budget // MIB} MiB, the "
        "default.",
        ("clients", "files: idle MiB", "peak MiB", "S3: idle MiB", "peak MiB"),
        chart=Chart("memory", "Server's resident memory by clients", "clients", "MiB", log_y=False),
    )
    for clients in plan.clients:
        if plan.over(f"memory with {clients} clients"):
            continue
        row = [str(clients)]
        for store in ("files", "S3"):
            async with _server(plan, store) as service:
                idle = service.process.memory_info().rss / MIB
                peak = await asyncio.to_thread(_peak, service, clients, plan.cell)
            row += [f"{idle:.0f}", f"{peak:.0f}"]
            assert found.chart is not None
            found.chart.add(store, clients, Spread(peak, peak, peak))
        found.rows.append(row)
        say(f"  memory: {', '.join(row)}")
    return [found]


async def parts(plan: Plan) -> list[Finding]:
    """A document of so many parts, each of them a file, a row and a commit."""
    found = Finding(
        "Cost of a part by the number of parts",
        f"Parts of {PART // KIB} KiB, so that the part's own cost shows and not its bytes; SQLite and files; medians "
        f"of {plan.rounds} uploads (one of 10,000). Flat is right.",
        ("parts", "ms for each part", "server CPU ms for each part", "seconds"),
        chart=Chart("parts", "Cost of a part by the number of parts", "parts", "ms for each part", log_y=False),
    )
    settings = {"UPLOAD_PART_SIZE": str(PART), "MAX_FILE_SIZE": str(PART * 10_000)}
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(ledgerlift(plan.folder("parts"), settings=settings))
        client = stack.enter_context(LedgerLiftClient(service.address))
        for count in plan.parts:
            if plan.over(f"{count} parts"):
                continue
            cells = []
            for _ in range(1 if count >= 10_000 else plan.rounds):
                sender = Ours(client, service.process)
                work = lambda s=sender, c=count: s.send(c * PART)  # noqa: E731
                cells.append(await asyncio.to_thread(load.run, work, count * PART, 1, 0.0, service.process))
                await asyncio.to_thread(sender.tidy)
            each = Spread.of([1000 * cell.seconds / count for cell in cells])
            cpu = Spread.of([1000 * (cell.server_cpu or 0.0) / count for cell in cells])
            whole = Spread.of([cell.seconds for cell in cells])
            found.rows.append((f"{count:,}", shown(each, 2), shown(cpu, 2), f"{whole.median:.1f}"))
            assert found.chart is not None
            found.chart.add("time", count, each)
            found.chart.add("server's processor", count, cpu)
            say(f"  {count} parts: {each.median:.2f} ms each")
    return [found]


async def start_up(plan: Plan) -> list[Finding]:
    """From the process to SERVING."""
    found = Finding(
        "Start",
        "Seconds from the start of the process, with nothing stored yet, until health says SERVING (looked at every "
        f"50 ms); medians of {plan.rounds}. The first start makes the schema; S3 is asked what it honours.",
        ("stores", "seconds"),
    )
    for store in ("files", "S3"):
        times = []
        for _ in range(plan.rounds):
            async with AsyncExitStack() as stack:
                folder = plan.folder("start")
                target = await stack.enter_async_context(versitygw(folder / "s")) if store == "S3" else None
                begun = time.perf_counter()
                await stack.enter_async_context(ledgerlift(folder / "l", target))
                times.append(time.perf_counter() - begun)
        found.rows.append((store, shown(Spread.of(times), 2)))
        say(f"  start on {store}: {found.rows[-1][1]} s")
    return [found]


@asynccontextmanager
async def _server(plan: Plan, store: str) -> AsyncIterator[Service]:
    folder = plan.folder("memory")
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(versitygw(folder / "store")) if store == "S3" else None
        yield await stack.enter_async_context(ledgerlift(folder / "server", target))


def _peak(service: Service, clients: int, seconds: float) -> float:
    """MiB."""
    peaks, over = [0], threading.Event()

    def sample(process: psutil.Process) -> None:
        while not over.wait(SAMPLE_INTERVAL):
            peaks.append(process.memory_info().rss)

    sampling = threading.Thread(target=sample, args=(service.process,), daemon=True)
    sampling.start()
    with LedgerLiftClient(service.address) as client:

        def work() -> None:
            client.upload(Body(LOADED), filename="b.bin", content_type="application/octet-stream")

        load.run(work, LOADED, clients, seconds, service.process)
    over.set()
    sampling.join()
    return max(peaks) / MIB
