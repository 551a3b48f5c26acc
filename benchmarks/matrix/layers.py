"""Where each processor second of an upload goes, by layer: py-spy's samples of the server, summed up.

A sample belongs to the innermost function of the server's own that it is in, and so to a layer: what SQLAlchemy does
for the ledger is the database's. gRPC's own threads are not Python: their seconds are the kernel's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from ledgerlift_client import LedgerLiftClient

from benchmarks.matrix.bodies import MIB
from benchmarks.matrix.findings import Chart, Finding
from benchmarks.matrix.plan import Plan, say
from benchmarks.upload import profiling
from benchmarks.upload.ours import LedgerLiftUpload
from benchmarks.upload.payload import Payload
from benchmarks.upload.stats import Spread

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
    """Seconds for each GiB of `volume` GiB, the most first.

    `threads` are the kernel's, without py-spy, and are shared out by the samples: those alone count a thread that
    waits for a processor as well.
    """
    samples: Counter[str] = Counter()
    for stack, count in stacks.items():
        if not profiling.waits(stack):
            samples[layer_of(stack)] += count
    native = sum(spent for (name, _), spent in threads.items() if "not Python" in name) / volume
    python = sum(threads.values()) / volume - native
    found = {name: python * count / samples.total() for name, count in samples.items()}
    found[NATIVE] = native
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
                    await profiling.upload_once(upload, payload)
                    plain = await profiling.threads_during(program, service, upload, payload, plan.rounds)
                    stacks = await profiling.recorded(
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
    names = sorted({name for one in measured.values() for name in one}, key=lambda name: -_most(measured, name))
    for name in names:
        spent = [one.get(name, 0.0) for one in measured.values()]
        shares = [value / sum(one.values()) for value, one in zip(spent, measured.values(), strict=True)]
        found.rows.append((name, *(f"{value:.2f}" for value in spent), *(f"{share:.0%}" for share in shares)))
        last = spent[-1]
        assert found.chart is not None
        found.chart.add(name, 0, Spread(last, last, last))
    return [found]


def _most(measured: dict[str, dict[str, float]], name: str) -> float:
    return max(one.get(name, 0.0) for one in measured.values())
