"""Throughput and processor time by size and number of clients; and small documents beside an HTTP upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from ledgerlift_client import LedgerLiftClient
from ledgerlift_server.adapters.sql import migrate

from benchmarks.matrix import load
from benchmarks.matrix.bodies import KIB, MIB
from benchmarks.matrix.findings import Chart, Finding, shown, size_name
from benchmarks.matrix.load import Cell
from benchmarks.matrix.plan import Plan, say
from benchmarks.matrix.senders import Boto3, Http, Ours, Sender, rows
from benchmarks.upload.ours import ledgerlift
from benchmarks.upload.peers.http_upload import http_upload
from benchmarks.upload.peers.versitygw import versitygw
from benchmarks.upload.processes import Unavailable
from benchmarks.upload.stats import Spread, ratios
from tests.support.postgres import PostgresServer

SMALL_SIZE, SMALL_CLIENTS = 16 * KIB, 32
TIDIED = MIB
"""Documents from this size on are removed after each number: the disk has an end."""


async def throughput(plan: Plan) -> list[Finding]:
    """Two tables: MiB a second, and processor seconds of the server for each GiB."""
    rates = Finding(
        "Throughput by size and clients",
        f"MiB a second, median (lowest - highest) of {plan.rounds} interleaved rounds of {plan.cell:g} s; the last "
        "column is LedgerLift on S3 over boto3 straight to the same S3 server, round by round.",
        ("size", "clients", "LedgerLift, files", "LedgerLift, S3", "boto3", "ratio"),
        chart=Chart(
            "throughput", "Throughput by document size; the number is that of clients", "document, bytes", "MiB/s"
        ),
    )
    cpu = Finding(
        "Processor seconds of the server for each GiB",
        "Of the same uploads, as the kernel counts them; the client's and the S3 server's are not in it.",
        ("size", "clients", "files", "S3"),
        chart=Chart("cpu-per-gib", "Server's processor seconds for each GiB", "document, bytes", "CPU s/GiB"),
    )
    for size in plan.sizes:
        if plan.over(f"throughput of {size_name(size)}"):
            continue
        async with _stores(plan.folder("throughput")) as senders:
            for clients in plan.clients:
                if size * clients > plan.most or plan.over(f"{size_name(size)} by {clients} clients"):
                    continue
                cells = await interleaved(senders, size, clients, plan)
                _add(rates, cpu, size, clients, cells)
    return [rates, cpu]


async def small_documents(plan: Plan) -> list[Finding]:
    """LedgerLift, the HTTP upload and boto3 with and without a row: all into the same S3 server and PostgreSQL."""
    found = Finding(
        f"Small documents: {size_name(SMALL_SIZE)}, {SMALL_CLIENTS} clients",
        f"S3 and PostgreSQL (which fsyncs), one process of each service, clients on the same two processors; medians "
        f"of {plan.rounds} interleaved rounds of {2 * plan.cell:g} s.",
        ("", "documents a second", "p50 ms", "p99 ms", "server CPU ms each", "client CPU ms each"),
        chart=Chart("small", "Documents of 16 KiB a second, 32 clients", "documents a second", "", bars=True),
    )
    place = plan.folder("small")
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer.temporary(fsync=True))
        target = await stack.enter_async_context(versitygw(place))
        ours_url, theirs_url = (postgres.url(postgres.create_database()) for _ in range(2))
        await asyncio.to_thread(migrate, ours_url)
        table = stack.enter_context(rows(theirs_url))
        there = ledgerlift(place, target, settings={"DATABASE_URL": ours_url})
        service = await stack.enter_async_context(there)
        client = stack.enter_context(LedgerLiftClient(service.address))
        senders: list[Sender] = [Ours(client, service.process), Boto3(target), Boto3(target, table)]
        try:
            url, process = await stack.enter_async_context(http_upload(place / "http", target, theirs_url))
            senders.insert(1, Http(url, process))
        except Unavailable as absent:
            plan.left_out.append(str(absent))
        cells = await interleaved(senders, SMALL_SIZE, SMALL_CLIENTS, plan, seconds=2 * plan.cell)
    for name, rounds in cells.items():
        rate = Spread.of([cell.rate for cell in rounds])
        p50, p99 = (Spread.of([_quantile(cell, q) * 1000 for cell in rounds]) for q in (0.5, 0.99))
        count = [len(cell.latencies) for cell in rounds]
        server = [
            None if c.server_cpu is None else 1000 * c.server_cpu / n for c, n in zip(rounds, count, strict=True)
        ]
        mine = Spread.of([1000 * cell.client_cpu / n for cell, n in zip(rounds, count, strict=True)])
        theirs = "-" if server[0] is None else f"{Spread.of([one or 0.0 for one in server]).median:.2f}"
        found.rows.append((name, shown(rate), f"{p50.median:.0f}", f"{p99.median:.0f}", theirs, f"{mine.median:.2f}"))
        assert found.chart is not None
        found.chart.add(name, 0, rate)
    if "HTTP upload" in cells:
        over = ratios([c.rate for c in cells["LedgerLift"]], [c.rate for c in cells["HTTP upload"]])
        found.goals.append(("LedgerLift over the HTTP upload, documents a second", over.median, 2.0))
    return [found]


async def interleaved(
    senders: Sequence[Sender], size: int, clients: int, plan: Plan, *, seconds: float | None = None
) -> dict[str, list[Cell]]:
    """Rounds of all senders in turn, after one short round that does not count."""
    cells: dict[str, list[Cell]] = {one.name: [] for one in senders}
    for number in range(plan.rounds + 1):
        for one in senders:
            time = (seconds or plan.cell) if number else 0.0
            cell = await asyncio.to_thread(load.run, partial(one.send, size), size, clients, time, one.server)
            if size >= TIDIED:
                await asyncio.to_thread(one.tidy)
            if number:
                cells[one.name].append(cell)
                say(f"  {one.name:20} {size_name(size):>8} x {clients:<3} {cell.mib:8.1f} MiB/s {cell.rate:8.1f}/s")
    return cells


@asynccontextmanager
async def _stores(place: Path) -> AsyncIterator[list[Sender]]:
    async with AsyncExitStack() as stack:
        files = await stack.enter_async_context(ledgerlift(place / "files"))
        target = await stack.enter_async_context(versitygw(place / "store"))
        s3 = await stack.enter_async_context(ledgerlift(place / "s3", target))
        clients = [stack.enter_context(LedgerLiftClient(one.address)) for one in (files, s3)]
        yield [Ours(clients[0], files.process, "files"), Ours(clients[1], s3.process, "S3"), Boto3(target)]


def _add(rates: Finding, cpu: Finding, size: int, clients: int, cells: dict[str, list[Cell]]) -> None:
    spread = {name: Spread.of([cell.mib for cell in rounds]) for name, rounds in cells.items()}
    over = ratios([cell.mib for cell in cells["S3"]], [cell.mib for cell in cells["boto3"]])
    digits = 2 if size < MIB else 0
    rates.rows.append(
        (
            size_name(size),
            str(clients),
            *(shown(spread[name], digits) for name in ("files", "S3", "boto3")),
            shown(over, 2),
        )
    )
    seconds = {name: Spread.of([cell.cpu_per_gib or 0.0 for cell in cells[name]]) for name in ("files", "S3")}
    cpu.rows.append((size_name(size), str(clients), *(shown(seconds[name], 1) for name in ("files", "S3"))))
    assert rates.chart is not None
    assert cpu.chart is not None
    for name, one in spread.items():
        rates.chart.add(f"{name}, {clients}", size, one)
    for name, one in seconds.items():
        cpu.chart.add(f"{name}, {clients}", size, one)


def _quantile(cell: Cell, at: float) -> float:
    ordered = sorted(cell.latencies)
    return ordered[min(len(ordered) - 1, int(at * len(ordered)))]
