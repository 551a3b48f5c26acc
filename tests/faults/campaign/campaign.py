"""`./scripts/faults campaign`: rounds of faults under load until the time is over, or until something is wrong."""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from tests.faults.campaign.deeds import lanes
from tests.faults.campaign.report import Total
from tests.faults.campaign.round import Outcome, play
from tests.faults.campaign.schedule import Schedule, draw
from tests.faults.campaign.shrink import shrink
from tests.faults.campaign.site import Ground
from tests.faults.printing import progress, say

ROUND = 60.0
"""Seconds of faults in a round; then all is healed, and both stores are read whole."""
SHRINKING = 600.0
"""Seconds that the search for a shorter replay may take."""
MOST_OF_A_TRACEBACK = 5000
"""Characters, from its end."""


def run(
    folder: Path,
    stores: Sequence[str],
    minutes: float,
    seed: int,
    *,
    round_seconds: float = ROUND,
    shrinking: float = SHRINKING,
) -> list[str]:
    """`minutes` on each kind of stores. What was wrong; the tables, and the replay of what was, are printed."""
    problems: list[str] = []
    for kind in stores:
        total = Total(kind, seed)
        while total.goes_on and total.seconds < minutes * 60:
            with Ground.running(Path(mkdtemp(dir=folder)), kind) as ground:
                if not total.rounds:
                    for why in ground.missing:
                        say(f"SKIPPED on {kind}: {why}")
                _on(ground, total, minutes, round_seconds, shrinking)
        total.print()
        problems += total.problems
    return problems


def replay(folder: Path, file: Path) -> list[str]:
    """The round of a file, once."""
    schedule = Schedule.load(file)
    with Ground.running(Path(mkdtemp(dir=folder)), schedule.stores) as ground:
        total = Total(schedule.stores, schedule.seed)
        total.add(asyncio.run(play(ground, schedule)))
        total.print()
        return total.problems


def _on(ground: Ground, total: Total, minutes: float, round_seconds: float, shrinking: float) -> None:
    """Rounds on one ground, until the time is over or something is wrong, also with the ground itself."""
    while total.goes_on and (left := minutes * 60 - total.seconds) > 0:
        number = total.rounds + len(total.broken_off)
        schedule = draw(ground.kind, f"{total.seed}/{number}", min(round_seconds, max(10.0, left)), lanes(ground))
        outcome = asyncio.run(_played(ground, schedule))
        if ended := ground.ended_tools():
            # Nothing of what callers saw then is the servers' doing, and nothing can be played on it any more.
            total.broken_off.append(f"round {number} (seed {schedule.seed}): {', '.join(ended)} ended by itself")
            say(f"{ground.kind}: NOT COUNTED, {total.broken_off[-1]}")
            return
        total.add(outcome)
        progress(f"{ground.kind}: round {total.rounds}, {len(total.wrong)} violations")
        if outcome.wrong:
            say(f"{ground.kind}: round {number} (seed {schedule.seed}) went wrong, after {total.seconds:.0f} s:")
            for sentence in outcome.wrong:
                say(f"  {sentence}")
            _keep_logs(outcome, schedule)
            _print_replay(asyncio.run(_shorter(ground, schedule, shrinking)))


async def _played(ground: Ground, schedule: Schedule) -> Outcome:
    """A round that cannot be played to its end, as when a server does not stop or start, is one that went wrong."""
    try:
        return await play(ground, schedule)
    except Exception as failed:
        said = "".join(traceback.format_exception(failed))[-MOST_OF_A_TRACEBACK:]
        return Outcome(Counter(), Counter(), wrong=[f"the round broke off: {said}"])


async def _shorter(ground: Ground, schedule: Schedule, patience: float) -> Schedule:
    # Where a fault is left over, nothing can be played any more: then the whole round is the replay.
    async def goes_wrong(candidate: Schedule) -> bool:
        outcome: Outcome = await play(ground, candidate)
        progress(f"shrinking: {len(candidate.faults)} faults, {len(outcome.wrong)} violations")
        return bool(outcome.wrong)

    try:
        return await shrink(schedule, goes_wrong, patience=patience)
    except Exception as failed:
        say(f"not made shorter: {failed!r}")
        return schedule


def _keep_logs(outcome: Outcome, schedule: Schedule) -> None:
    for number, log in enumerate(outcome.logs):
        path = _beside(schedule, f"server-{number}.log")
        path.write_text(log)
        say(f"  what server {number} wrote: {path}")


def _beside(schedule: Schedule, end: str) -> Path:
    return Path(gettempdir()) / f"ledgerlift-{schedule.stores}-{schedule.seed.replace('/', '-')}-{end}"


def _print_replay(schedule: Schedule) -> None:
    path = _beside(schedule, "replay.json")
    schedule.save(path)
    say(f"the shortest replay that was found, {len(schedule.faults)} faults in {schedule.seconds:.0f} s:")
    say(f"  {schedule.text}")
    say(f"  ./scripts/faults campaign --replay {path}")
