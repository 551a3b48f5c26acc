"""`./scripts/faults fetch`: both contestants at once, through one bad network, to one server that is killed half-way.

What is bad: of the connections, 30 % are reset in the middle of something and 10 % are slow; of the calls, 10 % are
answered UNAVAILABLE, every second of these after the server has done what was asked. Connections last for a second
(GOAWAY, as behind a proxy that is rolled out all the time): without that, two thirds of the callers would get one
that is never reset, and keep it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.faults.backends import Backends
from tests.faults.claims import HEAD, Claim, broken
from tests.faults.fetch.caller import OK, Answer, Caller
from tests.faults.fetch.contestants import Contestant, Ours, Plain
from tests.faults.fetch.judge import judge
from tests.faults.fetch.operations import first, operations
from tests.faults.printing import say, table
from tests.support.stores import KIB, MIB, Stores
from tests.support.unreliable_wire import Fate, Traffic, UnreliableWire

RESET, SLOW, UNAVAILABLE = 0.30, 0.10, 0.10
"""Shares of connections, connections and calls."""
RESET_WITHIN = 16 * KIB
"""Bytes of a connection by which it is reset, at the latest: less than one document, so that nearly every connection
that is to be reset lives to see it."""
SLOWEST = 0.5
"""Seconds that an answer is held up at most."""
CONNECTION_AGE = 1.0
"""Seconds."""
MOST_BEHIND_ANOTHER = 10
"""Operations of a caller on one connection, on average: more, and the network was not as bad as is said here."""
FEWER_ASKED, FEWER_WANTED = 0.95, 0.999
"""By how much failures are to be fewer."""
DOCUMENTS_BEFORE = 3
"""That each caller has before anything goes wrong."""
PATIENCE = 300.0
CALLERS = 10
"""Of each contestant, in full size."""
PACE = 0.4
"""Seconds between two operations of a caller, in full size."""
CALLS_HEAD = ("caller", "operations", "failed", "share", "done though failed", "p50", "p99", "worst", "statuses")


@dataclass(slots=True)
class Side:
    """One contestant's callers, taken together. `done_though_failed` as the judge counts it."""

    name: str
    callers: list[Caller]
    done_though_failed: int = 0

    @property
    def answers(self) -> list[Answer]:
        """Of all of them."""
        return [answer for caller in self.callers for answer in caller.answers]

    @property
    def failed(self) -> list[Answer]:
        """Those that were not answered as asked."""
        return [answer for answer in self.answers if answer.code != OK]

    @property
    def share(self) -> float:
        """Of operations that failed."""
        return len(self.failed) / max(1, len(self.answers))

    @property
    def row(self) -> tuple[str, ...]:
        """As `CALLS_HEAD`."""
        times = sorted(answer.seconds for answer in self.answers)
        codes = Counter(answer.code for answer in self.failed)
        return (
            self.name,
            str(len(times)),
            str(len(self.failed)),
            f"{self.share:.2%}",
            str(self.done_though_failed),
            *(f"{times[min(len(times) - 1, int(len(times) * part))]:.3f} s" for part in (0.5, 0.99, 1.0)),
            ", ".join(f"{code} {count}" for code, count in codes.most_common()) or "-",
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Both sides, what the wire did to them together, and for how long the server was away (seconds)."""

    plain: Side
    ours: Side
    traffic: Traffic
    away: float
    wrong: list[str]

    @property
    def fewer(self) -> float:
        """By how much failures are fewer: 0 for as many as with plain stubs, 1 for none."""
        return 1 - self.ours.share / self.plain.share if self.plain.share else 0.0

    @property
    def claims(self) -> list[Claim]:
        """What was promised."""
        fewer = f"{self.fewer:.2%}"
        answers = len(self.plain.answers) + len(self.ours.answers)
        behind = answers / self.traffic.connections
        many = behind <= MOST_BEHIND_ANOTHER
        return [
            Claim("operations on one connection", f"{behind:.1f}", f"<= {MOST_BEHIND_ANOTHER}", many),
            Claim("failed operations, fewer", fewer, f">= {FEWER_ASKED:.0%}", self.fewer >= FEWER_ASKED),
            Claim("  the goal", fewer, f">= {FEWER_WANTED:.1%}", self.fewer >= FEWER_WANTED, goal=True),
            Claim("wrong results", str(len(self.wrong)), "0", not self.wrong),
        ]


async def fetch(stores: Stores, seed: int, *, callers: int, count: int, pace: float) -> Outcome:
    """So many callers of each contestant, each with `count` operations at least `pace` seconds apart."""
    random = Random(seed)  # noqa: S311 - to be made again, not to be secret
    unreliable = ("tests.support.unreliable_server", str(UNAVAILABLE))
    half = _Count(callers * count)
    async with stores.server(program=unreliable, GRPC_MAX_CONNECTION_AGE=str(CONNECTION_AGE)) as server:
        with UnreliableWire(server.address, lambda: _fate(random)) as wire:

            def side(name: str, make: Callable[[str], Contestant]) -> Side:
                def caller(number: int) -> Caller:
                    plan = operations(seed, number, count)
                    return Caller(f"{name}-{number}", lambda: make(wire.address), plan, pace, half)

                return Side(name, [caller(number) for number in range(callers)])

            plain, ours = side("plain", Plain), side("ours", Ours)
            everyone = plain.callers + ours.callers
            await asyncio.to_thread(_prepare, server.address, everyone, seed)
            for caller in everyone:
                caller.start()
            await asyncio.to_thread(half.reached.wait, PATIENCE)
            await server.kill()
            killed_at = time.monotonic()
            await server.restart()
            away = time.monotonic() - killed_at
            for caller in everyone:
                await asyncio.to_thread(caller.join, PATIENCE)
            traffic = wire.traffic
        assert await server.stop() == 0, server.output
    verdict = await judge(stores, everyone)
    for one in (plain, ours):
        one.done_though_failed = sum(verdict.done_though_failed[caller.name] for caller in one.callers)
    return Outcome(plain, ours, traffic, away, verdict.wrong)


def run(backends: Backends, kinds: Sequence[str], count: int, seed: int) -> list[str]:
    """In full size, on stores of these kinds; `count` operations of each contestant. What was promised, not held."""
    problems = []
    for kind in kinds:
        with backends.stores(kind, 8 * MIB) as stores:
            outcome = asyncio.run(fetch(stores, seed, callers=CALLERS, count=-(-count // CALLERS), pace=PACE))
        say(f"\n{kind}: {_weather(outcome)}")
        table(CALLS_HEAD, [outcome.plain.row, outcome.ours.row])
        table(HEAD, [claim.row for claim in outcome.claims])
        problems += [*broken(outcome.claims), *outcome.wrong]
    return problems


def _weather(outcome: Outcome) -> str:
    traffic = outcome.traffic
    return (
        f"{traffic.connections} connections, {traffic.resets / traffic.connections:.0%} of them reset, "
        f"{traffic.delayed / traffic.connections:.0%} slow, {traffic.refused} not made while the server was away "
        f"({outcome.away:.1f} s)"
    )


class _Count:
    """`reached` is set when it has been called so many times."""

    def __init__(self, enough: int) -> None:
        self.reached = threading.Event()
        self._left = enough
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                self.reached.set()


def _fate(random: Random) -> Fate:
    return Fate(
        reset_after=random.randint(1, RESET_WITHIN) if random.random() < RESET else None,
        delay=random.uniform(0, SLOWEST) if random.random() < SLOW else 0.0,
    )


def _prepare(address: str, callers: list[Caller], seed: int) -> None:
    contestant = Ours(address)
    for number, caller in enumerate(callers):
        caller.prepare(contestant, first(seed, number, DOCUMENTS_BEFORE))
    contestant.close()
