"""`python -m tests.faults NAME`: a fault campaign in full size, on stores of its own, with a table at the end."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random, SystemRandom
from tempfile import TemporaryDirectory

import pytest

from tests.faults.aborts import Outcome, Tally, leave_and_resume
from tests.faults.backends import Backends
from tests.faults.leaving_client import WAYS, plans
from tests.faults.server_kill import kill_in_the_middle
from tests.support.stores import EMBEDDED, KIB, KINDS, MIB

BATCH = 50
"""Uploads that share a server and its stores; the next batch gets fresh ones."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: everything held. 1: something did not, and the output says what."""
    options = _parser().parse_args(arguments)
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    kinds = KINDS if options.stores is None else (options.stores,)
    _say(f"seed {seed}")
    began = time.monotonic()
    try:
        with (
            TemporaryDirectory(prefix="ledgerlift-faults-") as folder,
            Backends.running(Path(folder), kinds) as backends,
        ):
            if options.campaign == "aborts":
                problems = _aborts(backends, kinds, options.trials, seed)
            else:
                problems = _server_killed(backends, kinds, options.size * MIB, seed)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # a tool: what the tests would be skipped for
        _say(str(missing))
        return 1
    for problem in problems:
        _say(f"WRONG: {problem}")
    _say(f"{len(problems)} problems, {time.monotonic() - began:.0f} s")
    return 1 if problems else 0


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
            _say(
                f"{kind}: {min(first + BATCH, len(made))} of {len(made)}, {len(total.problems)} problems", again=True
            )
        rows += [(kind, way, *_cells(tally)) for way, tally in total.tallies.items()]
        problems += total.problems
    _table(
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
    _table(("stores", "MiB", "killed at", "sent again", "at most", "attempts", "digest"), rows)
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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _say(line: str, *, again: bool = False) -> None:
    """`again`: only where somebody looks on, and written over by the next line."""
    if not again:
        print(line, flush=True)  # noqa: T201 - what the command is for
    elif sys.stderr.isatty():
        print(f"\r{line}\033[K", end="\r", file=sys.stderr, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/faults", description=__doc__, allow_abbrev=False)
    campaigns = parser.add_subparsers(dest="campaign", required=True)
    aborts = campaigns.add_parser("aborts", help="uploads left in the middle, five ways: nothing is committed")
    aborts.add_argument("--trials", type=int, default=200, help="in each way, on each kind of stores (200)")
    killed = campaigns.add_parser("server-killed", help="SIGKILL of the server in the middle of one large upload")
    killed.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the document (1024)")
    for campaign in (aborts, killed):
        campaign.add_argument("--seed", type=int, help="do again what an earlier run has printed the seed of")
        campaign.add_argument("--stores", choices=KINDS, help="only these; both by default")
    return parser


if __name__ == "__main__":
    sys.exit(main())
