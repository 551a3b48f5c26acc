"""Large uploads over connections of which none lives long enough for one of them: each is cut after some MiB.

`send it whole` is what a plain stub can do: one call with the whole document, again where it breaks. Our client goes
on from what is durable.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import grpc
from ledgerlift_client import LedgerLiftClient, LedgerLiftError

from tests.faults.backends import Backends
from tests.faults.claims import HEAD, Claim, broken
from tests.faults.load.pool import Pool
from tests.faults.printing import progress, table
from tests.support.invariants import clean_up, everything
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME, messages, spec, uploads
from tests.support.server import ServerProcess
from tests.support.stores import EMBEDDED, MIB, SHARED, Stores
from tests.support.unreliable_wire import Fate, UnreliableWire

TRIES = 3
"""Of the plain stub, for one document."""
TIMEOUT = 30.0
"""Seconds for a call of the plain stub."""
MORE_ASKED = 0.40
"""By how much, of all uploads, more are to succeed."""
RESENT_WANTED = 0.15
"""Of a document's bytes; what is sent again on top of them is to stay below."""
PART_SIZES = {EMBEDDED: (5 * MIB, 2 * MIB), SHARED: (5 * MIB, 8 * MIB)}
"""By kind of stores: as a server has it by default, and another one; S3 takes none below 5 MiB."""
BATCH = 10
"""Documents that share a server and its stores; the next batch gets fresh ones."""
WAYS_HEAD = (
    "stores",
    "parts",
    "way",
    "uploads",
    "succeeded",
    "cuts",
    "MiB sent",
    "sent again",
    "as the client counts",
)


@dataclass(slots=True)
class Way:
    """One way to upload. Sizes in bytes; `sent` as the wire counts them, HTTP/2's own included; `resent` as the
    client says, None where nobody counts."""

    name: str
    tried: int = 0
    succeeded: int = 0
    size: int = 0
    cuts: int = 0
    sent: int = 0
    resent: int | None = None

    @property
    def again(self) -> float:
        """What was sent beside each byte once, as a part of all bytes that were to be sent."""
        return self.sent / self.size - 1 if self.size else 0.0

    def add(self, other: Way) -> None:
        """Another batch."""
        self.tried += other.tried
        self.succeeded += other.succeeded
        self.size += other.size
        self.cuts += other.cuts
        self.sent += other.sent
        if other.resent is not None:
            self.resent = (self.resent or 0) + other.resent

    def row(self, stores: str, part_size: int) -> tuple[str, ...]:
        """As `WAYS_HEAD`."""
        return (
            stores,
            f"{part_size / MIB:g} MiB",
            self.name,
            str(self.tried),
            f"{self.succeeded / max(1, self.tried):.0%}",
            str(self.cuts),
            f"{self.sent / MIB:.0f}",
            f"{self.again:.1%}",
            "-" if self.resent is None else f"{self.resent / max(1, self.size):.1%}",
        )


@dataclass(slots=True)
class Outcome:
    """Both ways over the same stores; `wrong` has a sentence for everything that is not whole, or that is twice."""

    whole: Way = field(default_factory=lambda: Way(f"send it whole, {TRIES} tries"))
    ours: Way = field(default_factory=lambda: Way("our client", resent=0))
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Another batch."""
        self.whole.add(other.whole)
        self.ours.add(other.ours)
        self.wrong += other.wrong

    def claims(self, title: str) -> list[Claim]:
        """What was promised."""
        ours, whole = (way.succeeded / max(1, way.tried) for way in (self.ours, self.whole))
        again = self.ours.again  # what the client counts has the message that was not on the wire yet as well
        return [
            Claim(
                f"{title}: succeeded, more", f"+{ours - whole:.0%}", f"+{MORE_ASKED:.0%}", ours - whole >= MORE_ASKED
            ),
            Claim("  of ours", f"{ours:.0%}", "100%", self.ours.succeeded == self.ours.tried),
            Claim("  sent again", f"{again:.1%}", f"< {RESENT_WANTED:.0%}", again < RESENT_WANTED, goal=True),
            Claim("  wrong results", str(len(self.wrong)), "0", not self.wrong),
        ]


def run(backends: Backends, kinds: Sequence[str], count: int, size: int, longest: int, seed: int) -> list[str]:
    """`count` documents of `size` bytes in each way; connections are cut after 1 MiB to `longest` bytes.

    What was promised and did not hold.
    """
    rows, claims, problems = [], list[Claim](), list[str]()
    for kind in kinds:
        for part_size in PART_SIZES[kind]:
            fate = cut_between(Random(seed), MIB, longest)  # noqa: S311 - to be made again, not to be secret
            total = Outcome()
            for first in range(0, count, BATCH):
                numbers = range(first, min(first + BATCH, count))
                with backends.stores(kind, part_size) as stores:
                    total.add(asyncio.run(cut_uploads(stores, Pool(2 * count, size), numbers, fate)))
                progress(f"{kind}, {part_size / MIB:g} MiB: {numbers.stop} of {count}, {len(total.wrong)} problems")
            rows += [way.row(kind, part_size) for way in (total.ours, total.whole)]
            claims += total.claims(f"{kind}, {part_size / MIB:g} MiB")
            problems += total.wrong
    table(WAYS_HEAD, rows)
    table(HEAD, [claim.row for claim in claims])
    return [*broken(claims), *problems]


async def cut_uploads(stores: Stores, pool: Pool, numbers: Sequence[int], fate: Callable[[], Fate]) -> Outcome:
    """Documents `numbers` of the pool by our client, and as many, the others of each two, by a plain stub."""
    outcome = Outcome()
    async with stores.server() as server:
        told = await asyncio.to_thread(_upload_all, server, pool, numbers, fate, outcome)
        assert await server.stop() == 0, server.output
    await clean_up(stores)
    found = await everything(stores)
    outcome.wrong += found.problems()
    there = Counter(document.sha256 for document in found.documents)
    for digest, acknowledged in told.items():
        if not acknowledged <= there[digest] <= 1:
            outcome.wrong.append(f"{there[digest]} documents of {digest}, acknowledged: {acknowledged}")
    return outcome


def cut_between(random: Random, least: int, most: int) -> Callable[[], Fate]:
    """Every connection is cut after so many bytes."""
    return lambda: Fate(reset_after=random.randint(least, most))


def _upload_all(
    server: ServerProcess, pool: Pool, numbers: Sequence[int], fate: Callable[[], Fate], outcome: Outcome
) -> dict[str, bool]:
    """Whether it was acknowledged, by the digest of the document."""
    told: dict[str, bool] = {}
    ways = ((outcome.ours, _by_our_client, 0), (outcome.whole, _whole, 1))
    for way, upload, odd in ways:
        with UnreliableWire(server.address, fate) as wire:
            for number in numbers:
                document = 2 * number + odd
                answer = upload(wire.address, pool[document], f"large-{document}", way)
                digest = pool.sha256(document)
                told[digest] = answer is not None
                way.tried += 1
                way.succeeded += told[digest]
                way.size += len(pool[document])
                if answer not in (None, digest):
                    outcome.wrong.append(f"{digest} was sent, {answer} acknowledged")
            way.cuts += wire.traffic.resets
            way.sent += wire.traffic.sent
    return told


def _by_our_client(address: str, data: memoryview, request_id: str, way: Way) -> str | None:
    with LedgerLiftClient(address) as client:
        try:
            result = client.upload(data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=request_id)
        except LedgerLiftError:
            return None
    way.resent = (way.resent or 0) + result.resent_bytes
    return result.document.sha256


def _whole(address: str, data: memoryview, request_id: str, _way: Way) -> str | None:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        for _ in range(TRIES):
            stream = messages(data, finish=True, spec=spec(request_id, size=len(data)))
            try:
                # A channel that has lost its connection is to make another, rather than fail at once.
                answer = uploads(channel).Upload(stream, timeout=TIMEOUT, wait_for_ready=True)
            except grpc.RpcError:
                continue
            return str(answer.document.sha256)
    return None
