"""`./scripts/faults rolled`: both replicas are replaced, one after the other, again and again, under steady load.

    as it is    the same version again, as for a changed setting
    upgrade     `migrate` of a version with one migration more, then that version
    rollback    this version again, on the schema of the next

With `--before COMMIT` it begins with the code of that commit, on its schema, and is upgraded to this one; and back,
where that code takes a newer schema at its start.

What is rolled is waited for until it is ready, and not a moment longer: then the other one goes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from tests.faults.claims import HEAD, Claim, broken, percentile
from tests.faults.fetch.caller import OK, Answer, Caller
from tests.faults.fetch.contestants import Contestant, Ours, Plain
from tests.faults.fetch.judge import judge
from tests.faults.fetch.operations import Kind, Operation, first
from tests.faults.printing import progress, say, table
from tests.faults.rolled.callers import Follower, Slow, Watching, until, up_and_down
from tests.faults.rolled.site import Site
from tests.support.stores import MIB

DOCUMENTS_BEFORE = 3
"""That each caller has before anything is rolled."""
CALLERS, PLAIN_CALLERS, PACE = 6, 2, 0.3
"""In full size; seconds between two operations of a caller."""
SLOW_SIZE = 24 * MIB
"""Bytes of a document that takes some seconds to send or to receive: three parts."""
AROUND = 2.0
"""Seconds of load before the first and behind the last replica is rolled."""
PATIENCE = 180.0
MARKED = "server/ledgerlift_server/adapters/sql/revisions.py"
"""Without it a version takes no schema but its own, when it is started."""
LONGEST = 5.0
"""Seconds that an operation with up to 96 KiB takes at the most. A goal: on a busy machine a start takes longer."""
CALLS_HEAD = ("caller", "operation", "number", "failed", "p50", "p99", "worst", "statuses")
ROLLS_HEAD = ("stage", "replica", "exit code", "drained", "ready again", "operations meanwhile", "of them failed")


@dataclass(frozen=True, slots=True)
class Stage:
    """What both replicas are replaced by: the code in `tree` (None: ours), which migrates first or does not."""

    name: str
    tree: Path | None
    migrates: bool = False


@dataclass(slots=True)
class Roll:
    """One replica, one time. Seconds; `operations` are those that ended between its SIGTERM and its being ready."""

    stage: str
    replica: str
    code: int
    drained: float
    ready: float
    operations: int
    failed: int

    @property
    def row(self) -> tuple[str, ...]:
        """As `ROLLS_HEAD`."""
        times = f"{self.drained:.1f} s", f"{self.ready:.1f} s"
        return self.stage, self.replica, str(self.code), *times, str(self.operations), str(self.failed)


@dataclass(slots=True)
class Outcome:
    """What was seen: of our client's callers, of those with plain stubs, and of the replicas."""

    ours: list[Caller] = field(default_factory=list)
    plain: list[Caller] = field(default_factory=list)
    rolls: list[Roll] = field(default_factory=list)
    migrated: str = ""
    events: int = 0
    drained_uploads: int = 0
    """That ran on a replica when it was told to end."""
    wrong: list[str] = field(default_factory=list)

    @property
    def answers(self) -> list[Answer]:
        """Of our client."""
        return [answer for caller in self.ours for answer in caller.answers]

    @property
    def failed(self) -> list[Answer]:
        """Of those."""
        return [answer for answer in self.answers if answer.code != OK]

    @property
    def claims(self) -> list[Claim]:
        """What is promised."""
        failed, codes = len(self.failed), sorted({roll.code for roll in self.rolls})
        quiet = [roll.replica for roll in self.rolls if not roll.operations]
        quick = [one.seconds for caller in self.ours if caller.name.startswith("ours") for one in caller.answers]
        worst = max(quick, default=0.0)
        return [
            Claim("failed operations of our client", f"{failed} of {len(self.answers)}", "0", failed == 0),
            Claim("wrong results", str(len(self.wrong)), "0", not self.wrong),
            Claim("the longest of small ones", f"{worst:.1f} s", f"< {LONGEST:g} s", worst < LONGEST, goal=True),
            Claim("replicas rolled under load", str(len(self.rolls)), "all", not quiet),
            Claim("their exit codes", ", ".join(map(str, codes)), "0", codes == [0]),
            Claim("events followed, none missed, none twice", str(self.events), "> 0", self.events > 0),
            Claim("uploads that a SIGTERM met", str(self.drained_uploads), "> 0", self.drained_uploads > 0),
        ]

    @property
    def call_rows(self) -> list[tuple[str, ...]]:
        """As `CALLS_HEAD`."""
        rows = []
        for name, callers in (("our client", self.ours), ("plain stubs", self.plain)):
            for kind in Kind:
                answers = [one for caller in callers for one in caller.answers if one.kind is kind]
                if answers:
                    rows.append(_row(name, kind, answers))
        return rows


async def rolled(
    site: Site,
    seed: int,
    stages: Sequence[Stage],
    *,
    callers: int,
    plain: int,
    pace: float,
    slow_size: int,
    before: Path | None = None,
) -> Outcome:
    """Everybody at work, and the replicas rolled. They begin with the code in `before` (None: ours)."""
    outcome, over = Outcome(), threading.Event()
    await asyncio.to_thread(site.migrate, before)
    for replica in site.replicas:
        replica.tree = before
    await asyncio.gather(*(replica.start() for replica in site.replicas))
    follower = Follower(site.target, site.credentials)

    def caller(name: str, make: type[Ours] | type[Plain], plan: Iterable[Operation]) -> Caller:
        def connect() -> Contestant:
            return make(site.target, site.credentials)

        return Caller(name, connect, plan, pace, lambda: None)

    outcome.ours = [caller(f"ours-{number}", Ours, until(over, seed, number)) for number in range(callers)]
    outcome.ours += [
        caller("slow", Slow, up_and_down(over, seed + 1_000, slow_size)),
        caller("watching", Watching, up_and_down(over, seed + 2_000, slow_size)),
    ]
    outcome.plain = [caller(f"plain-{number}", Plain, until(over, seed, number)) for number in range(plain)]
    everyone = outcome.ours + outcome.plain
    await asyncio.to_thread(_prepare, site, everyone, seed)
    for one in everyone:
        one.start()
    try:
        await asyncio.sleep(AROUND)
        for stage in stages:
            await _stage(site, stage, outcome)
        await asyncio.sleep(AROUND)
    finally:
        over.set()
    for one in everyone:
        await asyncio.to_thread(one.join, PATIENCE)
    outcome.events, missed = await asyncio.to_thread(follower.finish, everyone[0].known[0].document_id)
    outcome.drained_uploads = sum(
        int(entry["uploads"]) for replica in site.replicas for entry in replica.logged("draining")
    )
    for replica in site.replicas:
        await replica.stop()
    outcome.wrong = [*(await judge(site.stores, everyone)).wrong, *missed]
    return outcome


async def _stage(site: Site, stage: Stage, outcome: Outcome) -> None:
    if stage.migrates:
        outcome.migrated = await asyncio.to_thread(site.migrate, stage.tree)
    for replica in site.replicas:
        progress(f"{stage.name}: {replica.address}")
        before = len(outcome.answers), len(outcome.failed)
        told_at = time.monotonic()
        code = await replica.stop()
        ended_at = time.monotonic()
        replica.tree = stage.tree
        await replica.start()
        ready_at = time.monotonic()
        ended, failed = len(outcome.answers) - before[0], len(outcome.failed) - before[1]
        outcome.rolls.append(
            Roll(stage.name, replica.address, code, ended_at - told_at, ready_at - ended_at, ended, failed)
        )


def this_version(site: Site) -> list[Stage]:
    """Again, to the next one, and back."""
    return [Stage("as it is", None), upgrade(site), Stage("rollback", None)]


def upgrade(site: Site) -> Stage:
    """To a version with one migration more."""
    return Stage("upgrade", site.next_version(), migrates=True)


def from_before(tree: Path) -> list[Stage]:
    """To this version, and back, where the code in `tree` looks at who may run on a schema."""
    back = [Stage("rollback", tree)] if (tree / MARKED).exists() else []
    return [Stage("upgrade", None, migrates=True), *back]


def run(folder: Path, commit: str | None) -> list[str]:
    """In full size, from the code of `commit`. What was promised and not held; the tables are printed."""
    seed = SystemRandom().getrandbits(32)
    say(f"seed {seed}")
    logging.getLogger("ledgerlift_client").addHandler(logging.NullHandler())  # or it would tell of every retry
    with Site.running(folder) as site:
        before = None if commit is None else site.version_at(commit)
        work = rolled(
            site,
            seed,
            this_version(site) if before is None else from_before(before),
            callers=CALLERS,
            plain=PLAIN_CALLERS,
            pace=PACE,
            slow_size=SLOW_SIZE,
            before=before,
        )
        outcome = asyncio.run(work)
    say(f"migrate: {outcome.migrated}")
    table(ROLLS_HEAD, [roll.row for roll in outcome.rolls])
    say("")
    table(CALLS_HEAD, outcome.call_rows)
    say("")
    table(HEAD, [claim.row for claim in outcome.claims])
    return [*broken(outcome.claims), *outcome.wrong]


def _row(name: str, kind: Kind, answers: Sequence[Answer]) -> tuple[str, ...]:
    seconds = [answer.seconds for answer in answers]
    codes = Counter(answer.code for answer in answers if answer.code != OK)
    times = (f"{value:.3f} s" for value in (percentile(seconds, 0.5), percentile(seconds, 0.99), max(seconds)))
    said = ", ".join(f"{code} {count}" for code, count in codes.most_common()) or "-"
    return name, str(kind), str(len(answers)), str(codes.total()), *times, said


def _prepare(site: Site, callers: Sequence[Caller], seed: int) -> None:
    contestant = Ours(site.target, site.credentials)
    for number, caller in enumerate(callers):
        caller.prepare(contestant, first(seed, number, DOCUMENTS_BEFORE))
    contestant.close()
