"""Every step at which a process may be gone, killed there, and what is left: see `domain/steps.py`.

Three plans. In `UPLOADS` a server dies at a step of an upload or of its end; then some come back, some not.
In `JANITOR` and `FORGOTTEN` one janitor after the other dies over the same leftovers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledgerlift_client import LedgerLiftClient
from ledgerlift_server.adapters.sql import SqlMaintenance
from ledgerlift_server.app import serving
from ledgerlift_server.domain.drift import DriftReport
from ledgerlift_server.domain.janitor import LEASE, JanitorReport
from ledgerlift_server.domain.steps import Step
from ledgerlift_server.domain.upload_models import UploadState

from tests.faults.backends import Backends
from tests.faults.printing import progress, table
from tests.support.crash_points import HOLDER, WEEK, document
from tests.support.invariants import Found, clean_up, everything, expire_all, opened
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME
from tests.support.stores import KIB, MIB, PAIRS, Stores
from tests.support.tools import ROOT

PLAN_TIMEOUT = 400.0
"""Seconds for all kills of a plan."""


@dataclass(frozen=True, slots=True)
class Kill:
    """A way of `tests/support/crash_points.py`, the step that it dies at, and the request id of its upload."""

    way: str
    step: Step
    name: str


SMALL = (Step.SESSION_OPENED, Step.SEALED, Step.PUBLISHED)
IN_PARTS = (
    Step.SESSION_OPENED,
    Step.MULTIPART_CREATED,
    Step.MULTIPART_ATTACHED,
    Step.PART_STORED,
    Step.PARTS_RECORDED,
    Step.SEALED,
    Step.COMMITTING,
    Step.BEFORE_COMPLETE,
    Step.COMPLETED,
    Step.PUBLISHED,
)
DECIDED = frozenset({Step.COMMITTING, Step.BEFORE_COMPLETE, Step.COMPLETED, Step.PUBLISHED})
"""From here on a document comes of it, whoever comes back."""
SENT = tuple((size, step) for size, steps in (("small", SMALL), ("parts", IN_PARTS)) for step in steps)

AGAIN = tuple(Kill("upload", step, f"again-{size}-{step}") for size, step in SENT)
LEFT = tuple(Kill("upload", step, f"left-{size}-{step}") for size, step in SENT if step not in DECIDED)
ENDED = (
    Kill("cancel", Step.UPLOAD_CANCELLED, "cancelled"),
    Kill("refuse", Step.UPLOAD_FAILED, "failed"),
    Kill("delete", Step.DOCUMENT_DELETED, "deleted"),
)
UPLOADS = (*AGAIN, *LEFT, *ENDED)

DRIVEN = ("driven-1", "driven-2")
JANITOR = (
    *(Kill("upload", Step.COMMITTING, name) for name in DRIVEN),
    Kill("upload", Step.PARTS_RECORDED, "expired"),
    *(
        Kill("clean", step, "")
        for step in (
            Step.LEASE_TAKEN,
            Step.BEFORE_COMPLETE,  # the first of the two commits is at the same place again, and goes on
            Step.COMPLETED,
            Step.PUBLISHED,
            Step.COMMIT_DRIVEN,
        )
    ),
    Kill("expire", Step.SESSIONS_EXPIRED, "expired"),
    *(Kill("clean", step, "") for step in (Step.MULTIPART_ABORTED, Step.OBJECT_REMOVED, Step.REMOVAL_DONE)),
    Kill("delete", Step.DOCUMENT_DELETED, "deleted-small"),
    *(Kill("clean", step, "") for step in (Step.OBJECT_REMOVED, Step.REMOVAL_DONE)),
)
FORGOTTEN = (
    Kill("drift", Step.ORPHAN_ABORTED, ""),
    Kill("drift", Step.ORPHAN_QUEUED, ""),
    Kill("forget", Step.SESSIONS_FORGOTTEN, ""),
)

ALL = (*UPLOADS, *JANITOR, *FORGOTTEN)


def run(folder: Path, only: str | None) -> list[str]:
    """All plans over every pair of stores, or over one; a table, and what was wrong."""
    rows, problems = [], []
    pairs = PAIRS if only is None else (only,)
    with Backends.running(folder, pairs) as backends:
        for pair in pairs:
            for plan, kills in ((uploads, UPLOADS), (janitor, (*JANITOR, *FORGOTTEN))):
                with backends.stores(pair, 5 * MIB if "s3" in pair else 64 * KIB) as stores:
                    wrong = asyncio.run(plan(stores))
                problems += [f"{pair}: {one}" for one in wrong]
                steps = sorted({str(kill.step) for kill in kills})
                rows.append((pair, plan.__name__, str(len(kills)), str(len(wrong)), ", ".join(steps)))
                progress(f"{pair}: {plan.__name__}, {len(problems)} problems")
    table(("stores", "plan", "kills", "problems", "killed at"), rows)
    return problems


async def uploads(stores: Stores) -> list[str]:
    """All of `UPLOADS`, and what is wrong afterwards."""
    problems = await _killed(stores, UPLOADS)
    problems += _written_down(await clean_up(stores))
    left = await everything(stores)
    problems += left.problems()
    ids = _by_digest(left)
    wanted = [kill for kill in AGAIN if kill.step in DECIDED]
    if ids.keys() != {_digest(stores, kill.name) for kill in wanted}:
        problems.append(f"after the janitor there are documents of {_names(stores, ids)}")

    async with serving(stores.settings) as server:
        again = await asyncio.to_thread(_ask_again, stores, server.address)
    problems += [
        f"{digest} was {ids[digest]}, and is {again[digest]}" for digest in ids if again[digest] != ids[digest]
    ]

    await expire_all(stores)
    report = await clean_up(stores)
    # What was made and not written down can only be found by comparing: one that is asked for again, and one left.
    nameless = sum(kill.step is Step.MULTIPART_CREATED for kill in UPLOADS)
    if report.drift != DriftReport(orphan_multiparts=nameless, complete=True):
        problems.append(f"expected {nameless} orphan multipart uploads, found {report.drift}")
    found = await everything(stores)
    problems += found.problems()
    for kill, state in _ends():
        session = next((one for one in found.sessions if one.spec.request_id == kill.name), None)
        if session is None or session.state is not state:
            problems.append(f"{kill.name} is {session and session.state}, not {state}")
    await clean_up(stores, keep_ended=False)
    return problems + _all_is_clean(stores, await everything(stores), [kill.name for kill in AGAIN])


async def janitor(stores: Stores) -> list[str]:
    """All of `JANITOR` and of `FORGOTTEN`, and what is wrong when the last janitor has come."""
    problems = await _killed(stores, JANITOR)
    problems += _written_down(await clean_up(stores))
    problems += await _killed(stores, FORGOTTEN)
    problems += _written_down(await clean_up(stores, keep_ended=False))
    return problems + _all_is_clean(stores, await everything(stores), DRIVEN)


async def _killed(stores: Stores, plan: Sequence[Kill]) -> list[str]:
    """Go through the plan. A process that was not killed is a problem: it never came to its step."""
    async with opened(stores) as core:
        assert await SqlMaintenance(core.database).acquire_lease(LEASE, HOLDER, WEEK)
    file = stores.folder / "plan.json"
    file.write_text(json.dumps([[kill.way, kill.step, kill.name] for kill in plan]))
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "ENVIRONMENT": "test",
        "GRPC_ADDRESS": "127.0.0.1:0",
        "DATA_DIR": str(stores.folder / "data"),
        **stores.environment,
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.support.crash_points", str(file)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PLAN_TIMEOUT,
        check=False,
    )
    ended = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    problems = [
        f"{way} {name} was not killed at {step}, but ended with {code}:\n{done.stderr[-3000:]}"
        for way, step, name, code in ended
        if code != -signal.SIGKILL
    ]
    if len(ended) != len(plan):
        problems.append(f"{len(ended)} of {len(plan)} processes were started:\n{done.stderr[-3000:]}")
    return problems


def _written_down(report: JanitorReport) -> list[str]:
    """Comparing the stores finds nothing: what is to be removed was written down in the transaction that left it."""
    return [] if report.drift == DriftReport(complete=True) else [f"only a comparison found this: {report.drift}"]


def _ask_again(stores: Stores, address: str) -> dict[str, str]:
    """Everybody whose call broke off sends the same once more; document ids by digest."""
    ids = {}
    with LedgerLiftClient(address) as client:
        for kill in AGAIN:
            data = document(kill.name, stores.part_size)
            done = client.upload(data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=kill.name)
            ids[done.document.sha256] = done.document.document_id
    return ids


def _ends() -> Iterator[tuple[Kill, UploadState]]:
    yield from ((kill, UploadState.COMMITTED) for kill in AGAIN)
    yield from ((kill, UploadState.EXPIRED) for kill in LEFT)
    yield from zip(ENDED, (UploadState.CANCELLED, UploadState.FAILED, UploadState.COMMITTED), strict=True)


def _all_is_clean(stores: Stores, found: Found, names: Sequence[str]) -> list[str]:
    """One whole document of each name, and nothing else."""
    problems = found.problems()
    wanted = sorted(_digest(stores, name) for name in names)
    if sorted(one.sha256 for one in found.documents) != wanted:
        problems.append(f"in the end there are documents of {_names(stores, _by_digest(found))}")
    if found.objects != {one.object_name for one in found.documents}:
        problems.append(f"objects are left: {found.objects}")
    if found.sessions or found.multiparts or found.parts:
        problems.append(f"left: {found.sessions}, {found.multiparts}, {found.parts}")
    return problems


def _by_digest(found: Found) -> dict[str, str]:
    return {one.sha256: one.document_id for one in found.documents}


def _digest(stores: Stores, name: str) -> str:
    return hashlib.sha256(document(name, stores.part_size)).hexdigest()


def _names(stores: Stores, digests: dict[str, str]) -> list[str]:
    known = {_digest(stores, kill.name): kill.name for kill in ALL if kill.name}
    return sorted(known.get(digest, digest) for digest in digests)
