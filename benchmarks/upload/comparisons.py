"""What is compared with what, and what would be good enough. Contestants of one group run in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from ledgerlift_client import LedgerLiftClient

from benchmarks.upload.contestant import Contestant
from benchmarks.upload.ours import LedgerLiftStub, LedgerLiftUpload, ledgerlift
from benchmarks.upload.peers.bare_grpc import BareGrpc, bare_grpc
from benchmarks.upload.peers.boto3_direct import Boto3Direct
from benchmarks.upload.peers.buildgrid import BuildGrid, buildgrid
from benchmarks.upload.peers.disk import Disk
from benchmarks.upload.peers.toxiproxy import slowed
from benchmarks.upload.peers.versitygw import versitygw

STORE_LATENCY_MS = 50
"""Round trip put before the store in `s3-latency`, half of it in each direction."""

CLIENT = "LedgerLift client"
STUB = "LedgerLift, bare stub"
OURS = (CLIENT, STUB)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contestant `ours` over contestant `theirs`. `at_least` is the goal; None: told, and not judged."""

    ours: str
    theirs: str
    at_least: float | None


@dataclass(frozen=True, slots=True)
class Section:
    """A name for `--only`, the group of contestants that it needs, and what it compares."""

    key: str
    group: str
    comparisons: tuple[Comparison, ...]

    @property
    def contestants(self) -> set[str]:
        """Names of those that it needs."""
        return {name for one in self.comparisons for name in (one.ours, one.theirs)}


SECTIONS = (
    Section(
        "grpc",
        "embedded",
        (
            Comparison(CLIENT, BareGrpc.name, 0.5),
            Comparison(STUB, BareGrpc.name, None),
            Comparison(CLIENT, Disk.name, None),
        ),
    ),
    Section(
        "buildgrid",
        "embedded",
        (Comparison(CLIENT, BuildGrid.name, 3.0), Comparison(STUB, BuildGrid.name, None)),
    ),
    Section("client", "embedded", (Comparison(CLIENT, STUB, 0.8),)),
    Section("s3", "s3", (Comparison(CLIENT, Boto3Direct.name, 1.0),)),
    Section("s3-latency", "s3-latency", (Comparison(CLIENT, Boto3Direct.name, 0.8),)),
)

TITLES = {
    "embedded": "Embedded store: SQLite and files",
    "s3": "S3 (versitygw over a folder)",
    "s3-latency": f"S3 (versitygw) behind {STORE_LATENCY_MS} ms: toxiproxy, {STORE_LATENCY_MS // 2} ms each way",
}


@asynccontextmanager
async def embedded(place: Path, wanted: Collection[str]) -> AsyncIterator[list[Contestant]]:
    """The `wanted` ones of: bare grpcio, the disk, our server by client and by stub, BuildGrid."""
    async with AsyncExitStack() as stack:
        entered: list[Contestant] = []
        if BareGrpc.name in wanted:
            entered.append(await stack.enter_async_context(bare_grpc(place)))
        if Disk.name in wanted:
            entered.append(Disk(place / "disk"))
        if not set(OURS).isdisjoint(wanted):
            service = await stack.enter_async_context(ledgerlift(place / "ledgerlift"))
            if CLIENT in wanted:
                client = stack.enter_context(LedgerLiftClient(service.address))
                entered.append(LedgerLiftUpload(service, client, name=CLIENT))
            if STUB in wanted:
                channel = await stack.enter_async_context(grpc.aio.insecure_channel(service.address))
                entered.append(LedgerLiftStub(service, channel, name=STUB))
        if BuildGrid.name in wanted:
            entered.append(await stack.enter_async_context(buildgrid(place / "buildgrid")))
        yield entered


@asynccontextmanager
async def s3(place: Path, wanted: Collection[str], *, latency_ms: int = 0) -> AsyncIterator[list[Contestant]]:
    """The `wanted` ones of: boto3 to an S3 server, our server before it. With latency both go through it."""
    async with AsyncExitStack() as stack:
        target = direct = await stack.enter_async_context(versitygw(place / "versitygw"))
        if latency_ms:
            proxy = slowed(direct.endpoint, round_trip_ms=latency_ms, place=place)
            target = direct.at(await stack.enter_async_context(proxy))
        entered: list[Contestant] = []
        if CLIENT in wanted:
            service = await stack.enter_async_context(ledgerlift(place / "ledgerlift", target, direct=direct))
            client = stack.enter_context(LedgerLiftClient(service.address))
            entered.append(LedgerLiftUpload(service, client, name=CLIENT))
        if Boto3Direct.name in wanted:
            entered.append(Boto3Direct(target))
        yield entered


def open_group(group: str, place: Path, wanted: Collection[str]) -> AbstractAsyncContextManager[list[Contestant]]:
    """The servers and clients of `group`, those named in `wanted`, with their files in `place`."""
    groups: dict[str, Callable[[], AbstractAsyncContextManager[list[Contestant]]]] = {
        "embedded": lambda: embedded(place, wanted),
        "s3": lambda: s3(place, wanted),
        "s3-latency": lambda: s3(place, wanted, latency_ms=STORE_LATENCY_MS),
    }
    return groups[group]()
