"""One row of the table: a fault, under load, from a server that is well to a server that is well again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc

from tests.faults.claims import percentile
from tests.faults.table.faults import Fault
from tests.faults.table.installation import RECOVERY_TIMEOUT, Installation
from tests.faults.table.open_spans import Span, open_spans
from tests.faults.table.workload import KINDS, UNARY, Acknowledged, Call, Workload, downloaded
from tests.support.invariants import clean_up, everything
from tests.support.stores import Stores

UNARY_LIMIT = 30.0
"""Seconds within which a short call is answered, whatever hangs."""
ANSWERED = 1.0
"""Seconds that a busy machine may add to that."""
OPEN_P99 = 0.020
"""Seconds in which a refusal by an open breaker is there (a goal: what is timed is the client as well)."""
PATIENCE = 90.0
"""Seconds after a fault's end by which everything works again."""
QUIET = 2.0
"""Seconds without a failure: then it does."""
ALLOWED = frozenset({"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
"""Codes that tell a caller something true while a dependency is down. INTERNAL and UNKNOWN never do."""
HEAD = (
    "dependency",
    "fault",
    "answers while it lasted and after it",
    "worst unary",
    "worst stream",
    "p99 open",
    "recovery",
    "acked",
    "lost",
    "incomplete",
)


@dataclass(slots=True)
class Row:
    """Times in seconds. `open_p99` is None where no breaker refused anything."""

    fault: Fault
    seen: Counter[str] = field(default_factory=Counter)
    worst_unary: float = 0.0
    worst_stream: float = 0.0
    open_p99: float | None = None
    recovery: float = 0.0
    acknowledged: int = 0
    lost: int = 0
    incomplete: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def cells(self) -> tuple[str, ...]:
        """As `HEAD`."""
        return (
            self.fault.dependency,
            self.fault.name,
            ", ".join(f"{what} {count}" for what, count in self.seen.most_common()),
            f"{self.worst_unary:.1f} s",
            f"{self.worst_stream:.1f} s",
            "-" if self.open_p99 is None else f"{self.open_p99 * 1000:.1f} ms",
            f"{self.recovery:.1f} s",
            str(self.acknowledged),
            str(self.lost),
            str(self.incomplete),
        )


async def measure(site: Installation, fault: Fault) -> Row:
    """Do the fault to an installation that is well, and undo it."""
    row = Row(fault)
    environment = {name: str(RECOVERY_TIMEOUT) for name in ("DB_RECOVERY_TIMEOUT", "S3_RECOVERY_TIMEOUT")}
    with site.stores() as stores:
        async with stores.server(**environment) as server:
            workload = Workload(server.address)
            with workload.running():
                await asyncio.to_thread(_until_well, workload, time.monotonic())
                began = time.monotonic()
                try:
                    await asyncio.to_thread(fault.begin, site)
                    await asyncio.sleep(fault.hold)
                finally:
                    await asyncio.to_thread(fault.end, site)
                ended = time.monotonic()
                if not await asyncio.to_thread(_until_well, workload, ended):
                    row.problems.append(f"not well {PATIENCE:g} s after it")
            _look_at(row, workload.calls, began, ended)
            row.open_p99 = _open_p99(workload.calls, open_spans(server.log("breaker_changed")))
            row.acknowledged = len(workload.acknowledged)
            row.lost = await asyncio.to_thread(_lost, server.address, workload.acknowledged)
            if await server.stop() != 0:
                row.problems.append(f"the server ended with {server.returncode}")
        await _look_at_stores(row, stores, workload.acknowledged)
    return row


def _until_well(workload: Workload, since: float) -> bool:
    """Wait until calls of every kind that began after `since` are answered as asked, and no other for a while."""
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at:
        calls = [call for call in workload.calls if call.began >= since]
        failed = max((call.ended for call in calls if not call.fine), default=since)
        fine = {call.kind for call in calls if call.fine and call.began >= failed}
        if fine == set(KINDS) and time.monotonic() - failed >= QUIET:
            return True
        time.sleep(0.1)  # the load goes on meanwhile
    return False


def _look_at(row: Row, calls: list[Call], began: float, ended: float) -> None:
    concerned = [call for call in calls if call.ended >= began]
    row.seen = Counter(f"{call.code} {call.reason}".strip() for call in concerned)
    row.worst_unary = max(call.seconds for call in concerned if call.kind in UNARY)
    row.worst_stream = max(call.seconds for call in concerned if call.kind not in UNARY)
    row.recovery = max([0.0, *(call.ended - ended for call in concerned if not call.fine)])
    if row.worst_unary > UNARY_LIMIT + ANSWERED:
        row.problems.append(f"a short call took {row.worst_unary:.1f} s")
    for what in sorted({(call.kind, call.code, call.reason) for call in concerned if call.code not in ALLOWED}):
        row.problems.append("{} was answered {} {}".format(*what))


def _open_p99(calls: list[Call], spans: list[Span]) -> float | None:
    """Of short calls that were refused; one that was let through to try, and refused behind that, is none of them."""
    refused = [call for call in calls if call.kind in UNARY and call.reason == "CIRCUIT_OPEN"]
    seconds = [call.seconds for call in refused if any(span.covers(call) for span in spans)]
    return percentile(seconds, 0.99) if seconds else None


def _lost(address: str, acknowledged: list[Acknowledged]) -> int:
    lost = 0
    with grpc.insecure_channel(address) as channel:
        for one in acknowledged:
            try:
                lost += downloaded(channel, one.document_id) != one.sha256
            except grpc.RpcError:
                lost += 1
    return lost


async def _look_at_stores(row: Row, stores: Stores, acknowledged: list[Acknowledged]) -> None:
    """Past the server: every document that is listed is whole, and everything acknowledged is among them."""
    await clean_up(stores)
    found = await everything(stores)
    row.incomplete = sum(found.digests.get(one.object_name) != one.sha256 for one in found.documents)
    there = {(one.document_id, one.sha256) for one in found.documents}
    row.lost = max(row.lost, sum((one.document_id, one.sha256) not in there for one in acknowledged))
    row.problems += found.problems()
    if row.lost:
        row.problems.append(f"{row.lost} acknowledged documents are lost")
