"""What is done to servers, to their clocks, to the ways between, and to what they depend on; and how it is undone.

What is done to the database and to the store is what the table of faults has (`table/faults.py`), held shorter.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ledgerlift_server.domain.steps import Step

from tests.faults.campaign.schedule import Lane, Planned
from tests.faults.campaign.site import Ground, Site
from tests.faults.table.faults import FAULTS, Fault
from tests.faults.table.installation import DATABASE, STORAGE
from tests.support.server import ServerProcess
from tests.support.stores import EMBEDDED

JUMPS = (-7200.0, -600.0, -3.0, 3.0, 600.0, 7200.0, 2 * 86400.0)
"""Seconds by which a clock is wrong at once. The last is more than a session lives."""
OF_A_COMMIT = (Step.SEALED, Step.COMMITTING, Step.BEFORE_COMPLETE, Step.COMPLETED, Step.PUBLISHED)
"""Of all steps at which a server may die, those that are drawn most often."""
NEEDS_REST = {"read-only disk"}
"""Of the table: what can only be begun while nobody has a file open for writing."""
SLOW = 0.5
"""Seconds that answers over a slow link are late."""
LONGEST_TABLE = 6.0
"""Seconds that a fault of the table lasts here: it has them for longer, one at a time."""

Deed = Callable[[Site, Planned], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """`do` begins it, holds it as planned and ends it: then everything is as it was."""

    name: str
    lane: str
    longest: float
    do: Deed


def kinds(ground: Ground) -> dict[str, Kind]:
    """What can be done here, by name."""
    found = [
        Kind("server killed", "servers", 1.0, _kill),
        Kind("server stopped (SIGSTOP)", "servers", 8.0, _freeze),
        Kind("server dies in a commit", "servers", 6.0, _crash(OF_A_COMMIT)),
        Kind("server dies at a step", "servers", 6.0, _crash(tuple(Step))),
        Kind("server restarted (SIGTERM)", "servers", 1.0, _drain),
        *(Kind(f"clients: {name}", "links", longest, _on_link(begin)) for name, longest, begin in _LINKS),
    ]
    if ground.clocks:
        found.append(Kind("clock of a server jumps", "clocks", 6.0, _jump))
        if ground.installation is not None:
            found.append(Kind("clock of PostgreSQL jumps", "clocks", 6.0, _jump_database))
    if ground.kind == EMBEDDED:
        if ground.disk is not None:
            found.append(Kind("disk full", "disk", 4.0, _fill))
    else:
        disks = ground.installation is not None and bool(ground.installation.disks)
        usable = [fault for fault in FAULTS if fault.name not in NEEDS_REST and (disks or not fault.needs_disk)]
        found += map(_of_table, usable)
        found += [Kind(f"{name}: answers lost", name, 3.0, _lose(name)) for name in (DATABASE, STORAGE)]
    return {kind.name: kind for kind in found}


def lanes(ground: Ground) -> list[Lane]:
    """Which of them are done one at a time."""
    by_lane: dict[str, dict[str, float]] = {}
    for kind in kinds(ground).values():
        by_lane.setdefault(kind.lane, {})[kind.name] = kind.longest
    return [Lane(name, longest) for name, longest in sorted(by_lane.items())]


def _one_of(site: Site, planned: Planned) -> int:
    return int(planned.pick * len(site.servers))


def _server(site: Site, planned: Planned) -> ServerProcess:
    return site.servers[_one_of(site, planned)]


async def _kill(site: Site, planned: Planned) -> None:
    server = _server(site, planned)
    await server.kill()
    await asyncio.sleep(planned.hold)
    await server.restart()


async def _drain(site: Site, planned: Planned) -> None:
    server = _server(site, planned)
    assert await server.stop() == 0, server.output[-5000:]
    await asyncio.sleep(planned.hold)
    await server.restart()


async def _freeze(site: Site, planned: Planned) -> None:
    server = _server(site, planned)
    began = time.monotonic()
    server.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(planned.hold)
    finally:
        server.send(signal.SIGCONT)
        site.frozen.append(time.monotonic() - began)


def _crash(steps: Sequence[Step]) -> Deed:
    """A server that dies at a step of what it does next, and at another when it is back, while the fault lasts; where
    it does not come to one, it is killed all the same."""

    async def do(site: Site, planned: Planned) -> None:
        server = _server(site, planned)
        await server.kill()
        give_up_at = time.monotonic() + planned.hold
        number = int(planned.pick * 1000)
        while time.monotonic() < give_up_at:
            with suppress(
                AssertionError
            ):  # it may come to a commit that others have left, and die, before it listens
                await server.restart(crash_at=steps[number % len(steps)], until="listening")
            while server.returncode is None and time.monotonic() < give_up_at:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.05)
            await server.kill()
            number += 1
        await server.restart()

    return do


_LINKS: list[tuple[str, float, Callable[[Site, str], None]]] = [
    ("black hole", 6.0, lambda site, name: site.ground.links.black_hole(name)),
    ("connections reset", 2.0, lambda site, name: site.ground.links.reset(name)),
    ("slow", 6.0, lambda site, name: site.ground.links.delay(name, SLOW)),
    ("answers lost", 2.0, lambda site, name: site.ground.links.lose_answers(name)),
]


def _on_link(begin: Callable[[Site, str], None]) -> Deed:
    async def do(site: Site, planned: Planned) -> None:
        await asyncio.to_thread(begin, site, f"server-{_one_of(site, planned)}")
        try:
            await asyncio.sleep(planned.hold)
        finally:
            await asyncio.to_thread(site.ground.links.clear)

    return do


async def _jump(site: Site, planned: Planned) -> None:
    clock = site.ground.clocks[_one_of(site, planned)]
    await _wrong(clock.set, planned)


async def _jump_database(site: Site, planned: Planned) -> None:
    await _wrong(site.ground.clocks[-1].set, planned)


async def _wrong(set_clock: Callable[[float], None], planned: Planned) -> None:
    set_clock(JUMPS[int(planned.pick * 1000) % len(JUMPS)])
    try:
        await asyncio.sleep(planned.hold)
    finally:
        set_clock(0)


async def _fill(site: Site, planned: Planned) -> None:
    disk = site.ground.disk
    assert disk is not None
    await asyncio.to_thread(disk.fill)
    try:
        await asyncio.sleep(planned.hold)
    finally:
        await asyncio.to_thread(disk.empty)


def _of_table(fault: Fault) -> Kind:
    async def do(site: Site, planned: Planned) -> None:
        installation = site.ground.installation
        assert installation is not None
        await asyncio.to_thread(fault.begin, installation)
        try:
            await asyncio.sleep(planned.hold)
        finally:
            await asyncio.to_thread(fault.end, installation)

    return Kind(fault.title, fault.dependency, min(fault.hold, LONGEST_TABLE), do)


def _lose(name: str) -> Deed:
    async def do(site: Site, planned: Planned) -> None:
        installation = site.ground.installation
        assert installation is not None
        await asyncio.to_thread(installation.proxy.lose_answers, name)
        try:
            await asyncio.sleep(planned.hold)
        finally:
            await asyncio.to_thread(installation.proxy.clear)

    return do
