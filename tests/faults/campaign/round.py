"""One round: empty stores, servers, callers at work, the faults of a schedule, all well again, and the verdict."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from ledgerlift_client import ClientOptions, LedgerLiftClient, LedgerLiftError

from tests.faults.campaign.bridge import Bridge
from tests.faults.campaign.careful import TRANSFER, Careful
from tests.faults.campaign.careless import Careless
from tests.faults.campaign.deeds import Kind, kinds
from tests.faults.campaign.listener import Listener
from tests.faults.campaign.model import Model
from tests.faults.campaign.schedule import Planned, Schedule
from tests.faults.campaign.server_log import complaints
from tests.faults.campaign.site import Ground, Site
from tests.faults.campaign.tally import Tally
from tests.faults.campaign.verdict import judge
from tests.faults.campaign.witness import Witness
from tests.faults.campaign.workers import Worker
from tests.faults.table.installation import RECOVERY_TIMEOUT

CAREFUL, CARELESS = 6, 3
"""Callers of each sort; of the careful ones, every second has the asyncio client."""
CLIENT = ClientOptions(breaker_recovery=float(RECOVERY_TIMEOUT))
"""As servers: by default a breaker that has opened is the only thing that happens in the half minute after it."""
PATIENCE = 60.0
"""Seconds after the last fault within which everything works again."""
LEAST = 3.0
"""Seconds at the end of a round in which nothing is wrong and everybody goes on working."""
COMPARING = {"JANITOR_DRIFT_INTERVAL": "2", "JANITOR_ORPHAN_AGE": "2"}
"""In some rounds servers compare their stores all the time, and remove what is 2 s old and nobody's."""


@dataclass(slots=True)
class Outcome:
    """What one round has seen. `recoveries`: seconds from the end of a fault to the next upload that went well."""

    counts: Counter[tuple[str, str]]
    faults: Counter[str]
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    documents: int = 0
    looks: int = 0
    heard: int = 0
    wrong: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    """Of each server, where something was wrong."""


@dataclass(slots=True)
class _Done:
    """A fault that was done, and when it was over."""

    planned: Planned
    ended: float


async def play(ground: Ground, schedule: Schedule) -> Outcome:
    """Play it once. The same schedule asks for the same; which call meets what is chance."""
    comparing = Random(f"{schedule.seed}/comparing").random() < 0.3  # noqa: S311 - to be made again, not to be secret
    clock_jumps = any("clock" in fault.kind for fault in schedule.faults)
    model, tally = Model(), Tally()
    async with ground.site(COMPARING if comparing else {}, fake_clocks=clock_jumps) as site:
        witness, listener = Witness(site.database_url, model), Listener(site.target, model)
        workers = _workers(site, schedule.seed, model, tally, clock_jumps=clock_jumps)
        witness.start()
        listener.start()
        for worker in workers:
            worker.start()
        began = time.monotonic()
        try:
            done = await _faults(site, schedule, began)
            await asyncio.sleep(max(LEAST, began + schedule.seconds - time.monotonic()))
            await _until_well(site, tally, model)
        finally:
            for worker in workers:
                worker.stop()
            for worker in workers:
                await asyncio.to_thread(worker.join, 3 * TRANSFER)
        await asyncio.to_thread(listener.stop, TRANSFER)
        await asyncio.to_thread(_read_again, site, model, schedule.seed)
        for server in site.servers:
            if (code := await server.stop()) != 0:
                model.accuse(f"a server ended with {code}: {server.output[-2000:]}")
        await asyncio.to_thread(witness.stop, TRANSFER)
        late = comparing or clock_jumps
        wrong = await judge(site.stores, model, listener.heard, landed=site.landed, orphans_are_late=late)
        wrong += [
            sentence
            for server in site.servers
            for sentence in complaints(server, site.frozen, clock_jumps=clock_jumps)
        ]
    outcome = Outcome(
        tally.counts(),
        Counter(one.planned.kind for one in done),
        documents=len(model.told),
        looks=witness.looks,
        heard=len(listener.heard),
        wrong=model.wrong + wrong,
    )
    if outcome.wrong:
        outcome.logs = [server.output for server in site.servers]
    for one in done:
        seconds = tally.recovered(one.ended)
        if seconds is not None:
            outcome.recoveries.setdefault(one.planned.kind, []).append(seconds)
    return outcome


def _workers(site: Site, seed: str, model: Model, tally: Tally, *, clock_jumps: bool) -> list[Worker]:
    found = []
    part_size = site.stores.part_size
    for number in range(CAREFUL + CARELESS):
        random = Random(f"{seed}/{number}")  # noqa: S311 - to be made again, not to be secret
        one, other = site.addresses[0], site.addresses[-1]
        if number < CAREFUL:
            name = f"{'asyncio' if number % 2 else 'blocking'}-{number}"
            here = asyncio.get_running_loop()
            odd = number % 2
            client = Bridge(site.target, here, CLIENT) if odd else LedgerLiftClient(site.target, options=CLIENT)
            elsewhere = LedgerLiftClient(other if number % 4 < 2 else one, options=CLIENT)
            caller = Careful(name, client, elsewhere, model, random, part_size, clock_jumps)
            found.append(Worker(name, random, caller.operations, model, tally, ends=(client.close, elsewhere.close)))
        else:
            name = f"plain-{number}"
            plain = Careless(name, (one, other), model, random, part_size, clock_jumps)
            found.append(Worker(name, random, plain.operations, model, tally))
    return found


async def _faults(site: Site, schedule: Schedule, began: float) -> list[_Done]:
    """Those of one lane one after the other, the lanes at the same time."""
    known = kinds(site.ground)
    done: list[_Done] = []

    async def in_turn(lane: list[tuple[Planned, Kind]]) -> None:
        for planned, kind in lane:
            await asyncio.sleep(max(0.0, began + planned.at - time.monotonic()))
            if time.monotonic() > began + schedule.seconds:
                return  # those before it took longer than planned
            await kind.do(site, planned)
            done.append(_Done(planned, time.monotonic()))

    by_lane: dict[str, list[tuple[Planned, Kind]]] = {}
    for planned in schedule.faults:
        if planned.kind not in known:
            raise LookupError(f"{planned.kind!r} cannot be done here: {'; '.join(site.ground.missing) or 'unknown'}")
        by_lane.setdefault(known[planned.kind].lane, []).append((planned, known[planned.kind]))
    async with asyncio.TaskGroup() as group:
        for lane in by_lane.values():
            group.create_task(in_turn(lane))
    return sorted(done, key=lambda one: one.planned.at)


async def _until_well(site: Site, tally: Tally, model: Model) -> None:
    since = time.monotonic()
    while tally.recovered(since) is None and not site.ground.ended_tools():
        if time.monotonic() - since > PATIENCE:
            model.accuse(f"no upload went well in the {PATIENCE:g} s after the last fault")
            return
        await asyncio.sleep(0.1)  # the callers go on meanwhile


def _read_again(site: Site, model: Model, seed: str) -> None:
    """Through each of the servers, now that all is well: documents that somebody was told are there."""
    random = Random(f"{seed}/again")  # noqa: S311 - to be made again, not to be secret
    for address in site.addresses:
        with LedgerLiftClient(address) as client:
            for _ in range(5):
                one = model.some_document(random)
                if one is None:
                    return
                try:
                    record = client.get(one.document_id)
                except LedgerLiftError as error:
                    model.accuse(f"all is well again, and {one} is answered with {error!r}")
                    continue
                if record.sha256 != one.sha256:
                    model.accuse(f"all is well again, and {one} has become {record}")
