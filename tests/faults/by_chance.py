"""What the suite does a few times, the same in every run, for as long as one likes: `fuzz` and `protocol`.

Rounds on fresh stores, each with a seed of its own, the first of which is printed. What goes wrong is made shorter,
and told as it is to be done again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from ledgerlift.v1.upload_service_pb2 import UploadRequest
from ledgerlift_server.rpc.wire_reader import MalformedMessage, read_upload_request

from tests.faults.printing import progress, say, table
from tests.rpc.protocol_machine import run_sequences
from tests.support import fuzz as calls
from tests.support import hostile
from tests.support.invariants import clean_up, everything
from tests.support.protocol_world import world

FUZZED, SEQUENCES = 100, 200
"""Calls of each method in each way, and sequences of calls, in one round."""
STEPS = 30

Round = Callable[[Path, int, Counter[tuple[str, str]]], list[str]]


def fuzz(folder: Path, minutes: float, seed: int) -> list[str]:
    """Every method with messages of hostile values and with damaged ones; and the wire reader beside the parser."""
    return _rounds(_fuzzed, folder, minutes, seed, ("method", "answers"))


def protocol(folder: Path, minutes: float, seed: int) -> list[str]:
    """Sequences of what callers do to upload sessions, against the model."""
    return _rounds(_sequences, folder, minutes, seed, ("of", "answers"))


def _rounds(one: Round, folder: Path, minutes: float, seed: int, head: tuple[str, str]) -> list[str]:
    ends, counts, problems, rounds = time.monotonic() + 60 * minutes, Counter[tuple[str, str]](), list[str](), 0
    while not problems and (rounds == 0 or time.monotonic() < ends):
        problems = one(Path(mkdtemp(dir=folder)), seed + rounds, counts)
        rounds += 1
        progress(f"{rounds} rounds, {counts.total()} answers")
    names = sorted({name for name, _ in counts})
    rows = [(name, ", ".join(f"{c} {n}" for (of, c), n in counts.most_common() if of == name)) for name in names]
    table(head, rows)
    say(f"{rounds} rounds, {counts.total()} answers")
    return problems


def _how(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def _fuzzed(folder: Path, seed: int, counts: Counter[tuple[str, str]]) -> list[str]:
    problems = _told(lambda: _reader_and_parser(seed))
    with calls.target(folder) as where:
        for damaged in (False, True):
            for method in calls.METHODS:
                how = _how(FUZZED)
                problems += _told(lambda m=method, d=damaged, h=how: calls.fuzz(where, m, h, damaged=d, seed=seed))  # type: ignore[misc]
    counts += where.answers
    return problems


def _reader_and_parser(seed: int) -> None:
    """Both refuse, or both see the same."""

    @seeded(seed)
    @_how(20 * FUZZED)
    @given(hostile.mutated(cast(Descriptor, UploadRequest.DESCRIPTOR), []) | st.binary(max_size=200))
    def both(raw: bytes) -> None:
        parsed = read = None
        with suppress(DecodeError):
            parsed = UploadRequest.FromString(raw)
        with suppress(MalformedMessage):
            read = read_upload_request(raw)
        assert (parsed is None) == (read is None)
        if parsed is not None and read is not None:
            seen = (bytes(read.data), read.crc32c or 0, read.finish_write, read.sha256, read.upload_id or "")
            assert seen == (parsed.data, parsed.crc32c, parsed.finish_write, parsed.sha256, parsed.upload_id)
            assert (read.size or 0, read.write_offset or 0) == (parsed.size, parsed.write_offset)

    both()


def _sequences(folder: Path, seed: int, counts: Counter[tuple[str, str]]) -> list[str]:
    with world(folder) as there:
        problems = _told(lambda: run_sequences(there, _how(SEQUENCES), seed=seed))
        counts.update({("streams", kind): count for kind, count in there.answers.items()})
        counts["steps", "all"] += there.steps

    async def left() -> list[str]:
        await clean_up(there.stores, keep_ended=False)
        found = await everything(there.stores)
        wrong = found.problems()
        if {one.document_id: one.sha256 for one in found.documents} != there.alive:
            wrong.append("the stores do not hold the documents that were acknowledged")
        return wrong

    return problems or asyncio.run(left())


def _told(work: Callable[[], None]) -> list[str]:
    """What `work` raised, as one problem, with the way to do it again."""
    try:
        work()
    except Exception as wrong:  # of whatever kind: it is told
        return ["\n".join((f"{type(wrong).__name__}: {wrong}", *getattr(wrong, "__notes__", ())))]
    return []
