"""Where each processor second of an upload goes, by layer: py-spy's samples of the server, summed up.

A sample belongs to the innermost function of the server's own that it is in, and so to a layer: what SQLAlchemy does
for the ledger is the database's. gRPC's own threads are not Python: their seconds are the kernel's.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from functools import partial

from ledgerlift_client import LedgerLiftClient
from ledgerlift_server.adapters.sql import migrate

from benchmarks.matrix import load
from benchmarks.matrix.bodies import MIB
from benchmarks.matrix.findings import Chart, Finding, size_name
from benchmarks.matrix.plan import Plan, say
from benchmarks.matrix.senders import Ours
from benchmarks.matrix.throughput import SMALL_CLIENTS, SMALL_SIZE
from benchmarks.upload import profiling
from benchmarks.upload.ours import LedgerLiftUpload, ledgerlift
from benchmarks.upload.payload import Payload
from benchmarks.upload.peers.versitygw import versitygw
from benchmarks.upload.stats import Spread
from tests.support.postgres import PostgresServer

LAYERS = (
    ("digest/", "SHA-256 and CRC-32C (adapters/digest)"),
    ("adapters/sql", "database (adapters/sql and below)"),
    ("adapters/s3", "store: S3 (adapters/s3, botocore and below)"),
    ("adapters/filesystem", "store: files (adapters/filesystem and below)"),
    ("adapters/", "the door to dependencies, thread pools (adapters)"),
    ("interceptors/", "interceptors"),
    ("rpc/", "messages off the wire (rpc)"),
    ("domain/", "rules and part buffers (domain)"),
    ("observability/", "logs, metrics"),
    ("resilience/", "breaker, bulkhead, deadline (resilience)"),
)
TRANSPORT = "event loop and gRPC's Python side"
NATIVE = "gRPC's own threads (kernel's count)"
OTHER = "other threads"
HASHES = ("_absorb", "crc32c", "sha256", "sha512", "SHA256")
"""In the name of a frame of a hashing thread: there the innermost function of ours is the pool's."""
SIZE = 256 * MIB


def layer_of(stack: tuple[str, ...]) -> str:
    """Of one sample: the thread's name, then frames, the outermost first."""
    own = [frame for frame in stack[1:] if "ledgerlift_server/" in frame and ".py:" in frame]
    if any(word in frame for frame in stack[-4:] for word in HASHES):
        return LAYERS[0][1]
    for frame in reversed(own):
        for path, name in LAYERS:
            if path in frame:
                return name
    return TRANSPORT if "MainThread" in stack[0] or own else OTHER


def by_layer(
    stacks: Mapping[tuple[str, ...], int], threads: Mapping[tuple[str, str], float], volume: float
) -> dict[str, float]:
    """Seconds for each unit of `volume`, the most first.

    `threads` are the kernel's, without py-spy. Each thread's seconds are shared out by its own samples, for those
    count a thread that waits, for a processor or for an answer, as one that works.
    """
    samples: dict[str, Counter[str]] = defaultdict(Counter)
    for stack, count in stacks.items():
        if not profiling.waits(stack):
            samples[stack[0]][layer_of(stack)] += count
    found: dict[str, float] = defaultdict(float)
    for (thread, _), spent in threads.items():
        seen = samples.get(thread)
        if seen is None:
            found[NATIVE if "not Python" in thread else OTHER] += spent / volume
            continue
        for layer, count in seen.items():
            found[layer] += spent / volume * count / seen.total()
    return dict(sorted(found.items(), key=lambda one: -one[1]))


async def profile(plan: Plan) -> list[Finding]:
    """Uploads of one client to files and to S3, recorded by py-spy; the figures are its samples, so shares."""
    program = await asyncio.to_thread(profiling.py_spy)
    measured: dict[str, dict[str, float]] = {}
    size = min(SIZE, plan.most)
    for store in ("files", "s3"):
        if plan.over(f"profile on {store}"):
            continue
        place = plan.folder("profile")
        volume = size * plan.rounds / 2**30
        with Payload(size) as payload:
            async with profiling.service(store, place) as service:
                with LedgerLiftClient(service.address) as client:
                    upload = LedgerLiftUpload(service, client)
                    plain, stacks = await profiling.of_uploads(
                        program, service, upload, payload, plan.rounds, place / "stacks"
                    )
        measured[store] = by_layer(stacks, plain, volume)
        say(f"  profile on {store}: {sum(measured[store].values()):.2f} s/GiB")
    found = Finding(
        "Where each processor second of an upload goes",
        f"Uploads of {size // MIB} MiB by one client; seconds of the server for each GiB, as the kernel counts them, "
        "shared out by py-spy's samples (200 a second, native frames included).",
        ("layer", *(f"{store}: s/GiB" for store in measured), *(f"{store}: share" for store in measured)),
        chart=Chart("layers", "Server's processor seconds by layer, S3", "seconds for each GiB", "", bars=True),
    )
    for name in sorted({name for one in measured.values() for name in one}, key=lambda name: -_most(measured, name)):
        spent = [one.get(name, 0.0) for one in measured.values()]
        shares = [value / sum(one.values()) for value, one in zip(spent, measured.values(), strict=True)]
        found.rows.append((name, *(f"{value:.2f}" for value in spent), *(f"{share:.0%}" for share in shares)))
        last = spent[-1]
        assert found.chart is not None
        found.chart.add(name, 0, Spread(last, last, last))
    return [found]


async def small_profile(plan: Plan) -> list[Finding]:
    """The same of small documents, which are many: on S3 and PostgreSQL."""
    program, place = await asyncio.to_thread(profiling.py_spy), plan.folder("small-profile")
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer.temporary(fsync=True))
        target = await stack.enter_async_context(versitygw(place))
        url = postgres.url(postgres.create_database())
        await asyncio.to_thread(migrate, url)
        service = await stack.enter_async_context(ledgerlift(place, target, settings={"DATABASE_URL": url}))
        sender = Ours(stack.enter_context(LedgerLiftClient(service.address)), service.process)
        done: list[int] = []

        async def some() -> None:
            send = partial(sender.send, SMALL_SIZE)
            cell = await asyncio.to_thread(load.run, send, SMALL_SIZE, SMALL_CLIENTS, 2 * plan.cell, None)
            done.append(len(cell.latencies))

        async def counted() -> AsyncIterator[profiling.Work]:
            await some()
            done.clear()
            yield some

        threads = await profiling.threads_during(program, service.process.pid, counted())
        stacks = await profiling.recorded(program, service.process.pid, some, place / "stacks")
    spent = by_layer(stacks, threads, done[0] / 1000)
    found = Finding(
        "Where the processor's time of a small document goes",
        f"{size_name(SMALL_SIZE)}, {SMALL_CLIENTS} clients, S3 and PostgreSQL; milliseconds of the server for each "
        f"of {done[0]} documents, together {sum(spent.values()):.2f}, shared out in the same way.",
        ("layer", "ms", "share"),
        chart=Chart("layers-small", "Server's processor time of a small document", "ms", "", bars=True),
    )
    for name, value in spent.items():
        found.rows.append((name, f"{value:.2f}", f"{value / sum(spent.values()):.0%}"))
        assert found.chart is not None
        found.chart.add(name, 0, Spread(value, value, value))
    return [found]


def _most(measured: dict[str, dict[str, float]], name: str) -> float:
    return max(one.get(name, 0.0) for one in measured.values())
