"""`python -m tests.faults NAME`: a fault campaign in full size, on stores of its own, with a table at the end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom
from tempfile import TemporaryDirectory

import pytest

from tests.faults import by_chance, crash_points, large_uploads
from tests.faults.aborts import Outcome, Tally, leave_and_resume
from tests.faults.backends import Backends
from tests.faults.campaign import campaign as fault_campaign
from tests.faults.fetch import campaign as fetch
from tests.faults.leaving_client import WAYS, plans
from tests.faults.load import campaign as load
from tests.faults.printing import progress, say, table
from tests.faults.rolled import campaign as rolled
from tests.faults.server_kill import kill_in_the_middle
from tests.faults.table import campaign as fault_table
from tests.support.stores import EMBEDDED, KIB, KINDS, MIB, PAIRS

BATCH = 50
"""Uploads that share a server and its stores; the next batch gets fresh ones."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: everything held. 1: something did not, and the output says what."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--minutes"]:
        given.insert(0, "campaign")
    options = _parser().parse_args(given)
    began = time.monotonic()
    try:
        with TemporaryDirectory(prefix="ledgerlift-faults-") as name:
            folder = Path(name)
            if options.campaign == "load":
                problems = load.run(folder)
            elif options.campaign == "rolled":
                problems = rolled.run(folder, options.before)
            elif options.campaign == "table":
                problems = fault_table.run(folder, options.rows)
            elif options.campaign == "crash-points":
                problems = crash_points.run(folder, options.stores)
            elif options.campaign in ("fuzz", "protocol"):
                problems = _by_chance(folder, options)
            elif options.campaign == "campaign":
                problems = _campaign(folder, options)
            else:
                problems = _on_all_kinds(folder, options)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # a tool: what the tests would be skipped for
        say(str(missing))
        return 1
    for problem in problems:
        say(f"WRONG: {problem}")
    say(f"{len(problems)} problems, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


def _on_all_kinds(folder: Path, options: argparse.Namespace) -> list[str]:
    """The campaigns that are the same on stores of every kind, and that chance has a part in."""
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    kinds = KINDS if options.stores is None else (options.stores,)
    say(f"seed {seed}")
    with Backends.running(folder, kinds) as backends:
        if options.campaign == "aborts":
            return _aborts(backends, kinds, options.trials, seed)
        if options.campaign == "fetch":
            return fetch.run(backends, kinds, options.operations, seed)
        if options.campaign == "large-uploads":
            longest = options.longest * MIB
            return large_uploads.run(backends, kinds, options.uploads, options.size * MIB, longest, seed)
        return _server_killed(backends, kinds, options.size * MIB, seed)


def _by_chance(folder: Path, options: argparse.Namespace) -> list[str]:
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    say(f"seed {seed}")
    run = by_chance.fuzz if options.campaign == "fuzz" else by_chance.protocol
    return run(folder, options.minutes, seed)


def _campaign(folder: Path, options: argparse.Namespace) -> list[str]:
    logging.getLogger("ledgerlift_client").setLevel(logging.ERROR)  # of each attempt that is made again
    logging.getLogger("ledgerlift_server").setLevel(logging.ERROR)  # of the janitor that cleans up before the verdict
    if options.replay is not None:
        return fault_campaign.replay(folder, options.replay)
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    say(f"seed {seed}")
    kinds = KINDS if options.stores is None else (options.stores,)
    times = {"round_seconds": options.round, "shrinking": options.shrinking}
    return fault_campaign.run(folder, kinds, options.minutes, seed, **times)


def _aborts(backends: Backends, kinds: Sequence[str], trials: int, seed: int) -> list[str]:
    rows, problems = [], []
    for kind in kinds:
        total = Outcome({way: Tally() for way in WAYS})
        part_size = 64 * KIB if kind == EMBEDDED else 5 * MIB
        made = plans(Random(seed), trials, part_size)  # noqa: S311 - to be made again, not to be secret
        for first in range(0, len(made), BATCH):
            with backends.stores(kind, part_size) as stores:
                outcome = asyncio.run(leave_and_resume(stores, made[first : first + BATCH]))
            _add(total, outcome)
            progress(f"{kind}: {min(first + BATCH, len(made))} of {len(made)}, {len(total.problems)} problems")
        rows += [(kind, way, *_cells(tally)) for way, tally in total.tallies.items()]
        problems += total.problems
    table(
        ("stores", "left by", "trials", "client saw", "some durable", "documents", "objects", "resumed right"), rows
    )
    return problems


def _server_killed(backends: Backends, kinds: Sequence[str], size: int, seed: int) -> list[str]:
    rows, problems = [], []
    for kind in kinds:
        random = Random(seed)  # noqa: S311 - to be made again, not to be secret
        with backends.stores(kind, 8 * MIB) as stores:
            outcome = asyncio.run(kill_in_the_middle(stores, size, random))
        problems += outcome.problems
        sizes = (size, outcome.killed_at, outcome.resent, outcome.most_resent)
        digest = "right" if outcome.digest_is_right else "WRONG"
        rows.append((kind, *(f"{value / MIB:.1f}" for value in sizes), str(outcome.attempts), digest))
    table(("stores", "MiB", "killed at", "sent again", "at most", "attempts", "digest"), rows)
    return problems


def _add(total: Outcome, batch: Outcome) -> None:
    total.problems += batch.problems
    for way, tally in batch.tallies.items():
        into = total.tallies[way]
        for name in ("trials", "documents", "objects", "durable", "right"):
            setattr(into, name, getattr(into, name) + getattr(tally, name))
        into.seen += tally.seen


def _cells(tally: Tally) -> tuple[str, ...]:
    counts = (tally.durable, tally.documents, tally.objects, tally.right)
    return str(tally.trials), _counted(tally.seen), *map(str, counts)


def _counted(seen: Counter[str]) -> str:
    return ", ".join(f"{code} {count}" for code, count in seen.most_common())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description="A fault campaign in full size, on stores of its own, with a table at the end.",
        epilog="`--minutes N` alone is `campaign --minutes N`.",
        allow_abbrev=False,
    )
    campaigns = parser.add_subparsers(dest="campaign", required=True)
    aborts = campaigns.add_parser("aborts", help="uploads left in the middle, five ways: nothing is committed")
    aborts.add_argument("--trials", type=int, default=200, help="in each way, on each kind of stores (200)")
    killed = campaigns.add_parser("server-killed", help="SIGKILL of the server in the middle of one large upload")
    killed.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the document (1024)")
    campaigns.add_parser("load", help="a drain, stalled clients, many uploads and idle streams: what they may cost")
    roll = campaigns.add_parser("rolled", help="production, two replicas, rolled three times over under load")
    roll.add_argument("--before", metavar="COMMIT", help="begin with that code, and upgrade to this")
    table_of_faults = campaigns.add_parser("table", help="every fault of database and store under a steady load")
    table_of_faults.add_argument("rows", nargs="*", help="only rows with this in their name, as `database: killed`")
    fetched = campaigns.add_parser("fetch", help="a bad network and a restart: plain stubs beside our client")
    fetched.add_argument("--operations", type=int, default=2000, help="of each of the two (2000)")
    large = campaigns.add_parser("large-uploads", help="every connection is cut: send it whole, or go on")
    large.add_argument("--uploads", type=int, default=100, help="in each way, on each kind of stores (100)")
    large.add_argument("--size", type=int, default=64, metavar="MIB", help="of a document (64)")
    large.add_argument("--longest", type=int, default=40, metavar="MIB", help="that a connection carries (40)")
    mixed = campaigns.add_parser("campaign", help="faults of every kind under callers of every kind, by a seed")
    mixed.add_argument("--minutes", type=float, default=30, help="on each kind of stores (30)")
    mixed.add_argument("--round", type=float, default=fault_campaign.ROUND, metavar="SECONDS", help="of faults (60)")
    mixed.add_argument(
        "--shrinking",
        type=float,
        default=fault_campaign.SHRINKING,
        metavar="SECONDS",
        help="for finding a shorter replay of what went wrong (600)",
    )
    mixed.add_argument("--replay", type=Path, metavar="FILE", help="play the one round that a run has written there")
    crashed = campaigns.add_parser("crash-points", help="every named step killed, over every store and database")
    crashed.add_argument("--stores", choices=PAIRS, help="only this pair; all by default")
    fuzzed = campaigns.add_parser("fuzz", help="every method with hostile values and damaged bytes")
    sequences = campaigns.add_parser("protocol", help="sequences of upload calls against a model")
    for campaign in (fuzzed, sequences):
        campaign.add_argument("--minutes", type=float, default=10, help="at the least one round (10)")
        campaign.add_argument("--seed", type=int, help="do again what an earlier run has printed the seed of")
    for campaign in (aborts, killed, fetched, large, mixed):
        campaign.add_argument("--seed", type=int, help="do again what an earlier run has printed the seed of")
        campaign.add_argument("--stores", choices=KINDS, help="only these; both by default")
    return parser


if __name__ == "__main__":
    # By default it would end this process and leave all that it has started, and mounted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
