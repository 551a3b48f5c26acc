"""A document's digest: `ordered_hash.py` under the part pipeline, and without a state of the hash to go on from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from ledgerlift_server import errors
from ledgerlift_server.adapters.digest import HashlibHashers
from ledgerlift_server.domain.ordered_hash import INLINE_SIZE
from ledgerlift_server.domain.upload_models import UploadState
from ledgerlift_server.domain.upload_stream import Stopped

from tests.support.databases import run_sql
from tests.support.domain_objects import spec
from tests.support.loop_clock import turns, until
from tests.support.upload_calls import SlowFirstHash, begin, committed
from tests.support.upload_rig import (
    OPTIONS,
    PART,
    Script,
    UploadRig,
    content,
    digest,
    stream,
)

T = TypeVar("T")


async def test_parts_are_hashed_in_order_and_recorded_with_their_state(rig: UploadRig) -> None:
    """One slow hash: those behind it wait, and nothing is recorded that could not be gone on from."""
    slow = SlowFirstHash(rig.compute)
    replica = rig.replica(offload=slow)
    data = content(3 * PART + 9)
    running = begin(replica, Script(*stream(data, to=spec())))
    await until(lambda: slow.gate.arrived == 1 and replica.store.done["put_part"] == 3)
    await asyncio.sleep(0.02)
    assert replica.ledger.count("record_parts") == 0
    assert replica.budget.used == 3 * PART + 9, "a buffer is needed until it is hashed"
    slow.gate.open()
    await rig.check_whole((await committed(running)).document, data)


async def test_a_part_that_is_called_off_does_not_break_those_before_it(rig: UploadRig) -> None:
    """It waited for its turn to be hashed; whose turn it was goes on and is recorded."""
    slow = SlowFirstHash(rig.compute)
    replica = rig.replica(offload=slow)
    running = begin(replica, Script(*stream(content(3 * PART), to=spec(), finish=False)))
    await until(lambda: slow.gate.arrived == 1 and replica.store.done["put_part"] == 3)
    carriers = [task for task in asyncio.all_tasks() if "PartPipeline._carry" in repr(task)]
    max(carriers, key=lambda task: int(task.get_name().rpartition("-")[2])).cancel()
    await turns()
    slow.gate.open()
    with pytest.raises(asyncio.CancelledError):
        await running
    await rig.durable(2 * PART)


async def test_a_hash_that_fails_is_never_recorded(rig: UploadRig) -> None:
    """Nor is anything behind it: the digest would be wrong."""

    class Failing(SlowFirstHash):
        async def __call__(self, fn: Callable[..., T], /, *args: object) -> T:
            if fn.__name__ == "_absorb":
                self._hashed += 1
                if self._hashed == 2:
                    raise MemoryError
            return await self._compute(fn, *args)

    replica = rig.replica(offload=Failing(rig.compute))
    data = content(5 * PART)
    with pytest.raises(MemoryError):
        await replica.run(*stream(data, to=spec()))
    await until(lambda: replica.budget.used == 0)
    session = await rig.durable(PART)
    done = await committed(rig.replica().run(*stream(data, to=session.upload_id, offset=0)))
    await rig.check_whole(done.document, data)


@pytest.mark.parametrize("size", [INLINE_SIZE, INLINE_SIZE + 1, 2 * INLINE_SIZE])
async def test_small_documents_are_hashed_right_on_either_side_of_the_thread_hop(rig: UploadRig, size: int) -> None:
    """Inline below, on a thread above; below one part in any case."""
    replica = rig.replica(replace(OPTIONS, part_size=4 * INLINE_SIZE, memory_budget=16 * INLINE_SIZE))
    data = content(size)
    done = await committed(replica.run(*stream(data, to=spec(), size=50_000)))
    await rig.check_whole(done.document, data)
    assert replica.store.count("put") == 1


# A lost hash state


@pytest.mark.parametrize("how", ["cannot", "damaged", "missing"])
async def test_without_the_hash_state_the_object_is_read_back(rig: UploadRig, how: str, sqlite_url: str) -> None:
    """A server that cannot save or restore it, or a damaged one: the digest is still the server's own."""
    data = content(5 * PART + 7)
    first = rig.replica(hashers=HashlibHashers() if how == "missing" else None)
    left = await first.run(*stream(data[: 3 * PART], to=spec(), finish=False))
    assert isinstance(left, Stopped)
    if how == "damaged":
        run_sql(sqlite_url, "UPDATE sessions SET sha_state = x'00112233'")
    second = rig.replica(hashers=HashlibHashers() if how == "cannot" else None)
    done = await committed(second.run(*stream(data[3 * PART :], to=left.session.upload_id)))
    await rig.check_whole(done.document, data)
    assert done.receipt.sha256 == done.document.sha256
    assert second.store.count("read") > 0


async def test_digests_that_contradict_each_other_are_refused_without_a_hash_state(rig: UploadRig) -> None:
    """One of them is wrong, whichever it is: nothing needs to be read back for that."""
    replica = rig.replica(hashers=HashlibHashers())
    data = content(3 * PART)
    left = await replica.run(*stream(data[:PART], to=spec(sha256=digest(data)), finish=False))
    assert isinstance(left, Stopped)
    rest = stream(data[PART:], to=left.session.upload_id)
    rest[-1] = replace(rest[-1], sha256="f" * 64)
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(*rest)
    assert (await rig.session()).state is UploadState.FAILED
    assert await rig.objects() == set()


async def test_a_wrong_digest_is_found_by_reading_back_too(rig: UploadRig) -> None:
    """Nothing is published on trust, and what was stored is removed."""
    replica = rig.replica(hashers=HashlibHashers())
    data = content(3 * PART)
    left = await replica.run(*stream(data[:PART], to=spec(sha256="0" * 64), finish=False))
    assert isinstance(left, Stopped)
    with pytest.raises(errors.ChecksumMismatch):
        await replica.run(*stream(data[PART:], to=left.session.upload_id))
    assert await rig.all_documents() == ()
    assert (await rig.session()).state is UploadState.FAILED
    await replica.janitor.run_once()
    assert await rig.objects() == set()
