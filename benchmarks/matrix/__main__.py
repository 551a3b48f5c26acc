"""The command: `python -m benchmarks.matrix`. Exits 1 when a goal that was measured was missed."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks.matrix import growth, layers, reading, throughput
from benchmarks.matrix.bodies import KIB, MIB
from benchmarks.matrix.findings import Finding, Findings
from benchmarks.matrix.pictures import NoMatplotlib, draw
from benchmarks.matrix.plan import Plan, say
from benchmarks.upload import machine
from benchmarks.upload.peers import http_upload
from benchmarks.upload.processes import Unavailable

GIB = 1024 * MIB
UNITS = {"K": KIB, "M": MIB, "G": GIB}
SECTIONS: dict[str, Callable[[Plan], Awaitable[list[Finding]]]] = {
    "start": growth.start_up,
    "small": throughput.small_documents,
    "calls": reading.short_calls,
    "downloads": reading.downloads,
    "memory": growth.memory,
    "parts": growth.parts,
    "profile": layers.profile,
    "profile-small": layers.small_profile,
    "throughput": throughput.throughput,
}
"""In the order in which they are run: the longest is the last, and ends with the time."""


def main(arguments: Sequence[str]) -> int:
    """Measure, print and draw."""
    options = _parser().parse_args(arguments)
    findings = asyncio.run(_measure(options, shlex.join(["python", "-m", "benchmarks.matrix", *arguments])))
    if options.json:
        findings.write(options.json)
    if options.pictures:
        try:
            drawn = draw(findings.findings, options.pictures)
            say(f"{len(drawn)} pictures in {options.pictures}")
        except NoMatplotlib as missing:
            findings.left_out.append(f"no pictures: {missing}")
    print(findings.text())
    return 0 if findings.all_met else 1


async def _measure(options: argparse.Namespace, command: str) -> Findings:
    with tempfile.TemporaryDirectory(prefix="ledgerlift-matrix-", dir=options.place) as name:
        place = Path(name)
        ends = time.monotonic() + 60 * options.minutes
        chosen = (options.sizes, options.clients, options.rounds, options.cell, options.most, options.parts)
        plan = Plan(place, *chosen, ends)
        findings = Findings(command, machine.describe(place) | {"HTTP upload": http_upload.version()})
        for section in options.only:
            if plan.over(section):
                continue
            say(section)
            try:
                findings.findings += await SECTIONS[section](plan)
            except Unavailable as absent:
                plan.left_out.append(f"{section}: {absent}")
            except Exception as failure:  # of one section; the others are worth their time
                traceback.print_exc()
                findings.failed.append(f"{section}: {type(failure).__name__}: {failure}")
        findings.left_out += plan.left_out
        return findings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.matrix",
        description="Measures uploads by size, clients and store, small documents beside an HTTP upload, downloads, "
        "short calls, memory, many parts, the start, and where the processor's time goes.",
    )
    sizes = "1K,16K,256K,4M,64M,512M"
    parser.add_argument("--only", type=_sections, default=tuple(SECTIONS), metavar="A,B", help=",".join(SECTIONS))
    parser.add_argument("--sizes", type=_sizes, default=_sizes(sizes), help=f"of documents ({sizes}; 4G is possible)")
    parser.add_argument("--clients", type=_numbers, default=(1, 8, 64), help="at once (1,8,64)")
    parser.add_argument("--rounds", type=int, default=3, help="that count; a short one goes before (3)")
    parser.add_argument("--cell", type=float, default=2.0, metavar="SECONDS", help="of one number in one round (2)")
    parser.add_argument("--most", type=_size, default=GIB, help="leave out sizes times clients above this (1G)")
    parser.add_argument("--parts", type=_numbers, default=(10, 100, 1000, 10_000), help="(10,100,1000,10000)")
    parser.add_argument("--minutes", type=float, default=13, help="after which nothing more is begun (13)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="draw them there; wants matplotlib")
    parser.add_argument("--place", type=Path, metavar="FOLDER", help="where servers write (the temporary folder)")
    return parser


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(SECTIONS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not among {', '.join(SECTIONS)}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _size(text: str) -> int:
    unit = UNITS.get(text[-1].upper())
    return int(text) if unit is None else int(float(text[:-1]) * unit)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_size(word) for word in text.split(","))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
