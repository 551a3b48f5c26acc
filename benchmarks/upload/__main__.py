"""The command: `python -m benchmarks.upload`. Exits 0 when every goal was met, 1 when one was not."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.upload import harness, machine, memory, profiling
from benchmarks.upload.comparisons import OURS, SECTIONS, TITLES, Section, open_group
from benchmarks.upload.ours import ledgerlift
from benchmarks.upload.payload import MIB, Payload
from benchmarks.upload.peers.disk import warm
from benchmarks.upload.peers.versitygw import versitygw
from benchmarks.upload.processes import Unavailable, fresh
from benchmarks.upload.report import Report

MEMORY = "memory"
KEYS = (*(section.key for section in SECTIONS), MEMORY)
WARM_DISK = 4
"""How many times the payload's size is written to the disk, and removed, before anything is measured."""


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and say by the exit status whether the goals were met."""
    options = _parser().parse_args(arguments)
    if options.profile:
        print(asyncio.run(profiling.profile(options.profile, options.size, options.rounds, options.place)))
        return 0
    report = asyncio.run(_measure(options, shlex.join(["python", "-m", "benchmarks.upload", *arguments])))
    if options.json:
        options.json.write_text(json.dumps(report.json(), indent=2) + "\n")
    print(report.text())
    return 0 if report.all_met else 1


async def _measure(options: argparse.Namespace, command: str) -> Report:
    with tempfile.TemporaryDirectory(prefix="ledgerlift-bench-", dir=options.place) as folder:
        place = Path(folder)
        report = Report(command, machine.describe(place), options.size, options.rounds)
        sections = [section for section in SECTIONS if section.key in options.only]
        if sections:
            await asyncio.to_thread(warm, place, WARM_DISK * options.size)
            with Payload(options.size) as payload:
                for group in dict.fromkeys(section.group for section in sections):
                    here = [section for section in sections if section.group == group]
                    await _group(report, group, here, payload, place / group, peers_only=options.peers_only)
        if MEMORY in options.only and not options.peers_only:
            with Payload(options.memory_size) as payload:
                await _memory(report, payload, place / MEMORY)
        return report


async def _group(
    report: Report, group: str, sections: Sequence[Section], payload: Payload, place: Path, *, peers_only: bool
) -> None:
    wanted = set().union(*(section.contestants for section in sections)) - set(OURS if peers_only else ())
    _say(TITLES[group])
    try:
        async with open_group(group, fresh(place), wanted) as contestants:
            report.tracks[group] = await harness.run(contestants, payload, report.rounds, say=_say)
    except Unavailable as absent:
        report.skipped.append(f"{', '.join(section.key for section in sections)}: {absent}")
        return
    for section in sections:
        report.judge(group, section.comparisons)


async def _memory(report: Report, payload: Payload, place: Path) -> None:
    _say("Resident memory")
    async with ledgerlift(place / "embedded") as service:
        report.memory.append(await memory.measure("files", service, payload, report.rounds))
    try:
        async with versitygw(place / "store") as target, ledgerlift(place / "s3", target) as service:
            report.memory.append(await memory.measure("S3", service, payload, report.rounds))
    except Unavailable as absent:
        report.skipped.append(f"memory on S3: {absent}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.upload",
        description="Measures one upload stream against its goals: half of what bare grpcio moves (grpc), three "
        "times BuildGrid (buildgrid), 0.8 of the bare stub with the same messages (client), as much as boto3 "
        "straight to the same S3 server (s3), 0.8 of it where the server is far (s3-latency), and bounded memory "
        "(memory).",
    )
    parser.add_argument("--rounds", type=_positive, default=5, help="rounds that count; one more goes before (5)")
    parser.add_argument("--size", type=_size, default=512 * MIB, metavar="MIB", help="of one upload, in MiB (512)")
    parser.add_argument(
        "--memory-size", type=_size, default=1024 * MIB, metavar="MIB", help="of the uploads of `memory` (1024)"
    )
    parser.add_argument("--only", type=_keys, default=KEYS, metavar="A,B", help=f"some of {','.join(KEYS)}")
    parser.add_argument("--peers-only", action="store_true", help="leave LedgerLift out: what the others do here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, single rounds included")
    parser.add_argument(
        "--place", type=Path, default=None, metavar="FOLDER", help="where servers write (the temporary folder)"
    )
    parser.add_argument(
        "--profile",
        choices=("files", "s3"),
        help="measure nothing; show where the server's CPU seconds go during uploads to this store",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _size(text: str) -> int:
    return _positive(text) * MIB


def _keys(text: str) -> tuple[str, ...]:
    keys = tuple(part.strip() for part in text.split(","))
    if unknown := set(keys) - set(KEYS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(KEYS)}")
    return keys


_say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
