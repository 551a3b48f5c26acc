"""Buffers are lent to the store: in place, and until it is done with them, whatever becomes of the caller."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from crc32c import crc32c
from ledgerlift_server.domain.store_port import ObjectStore
from ledgerlift_server.errors import DeadlineExceeded
from ledgerlift_server.resilience.bulkhead import Bulkhead
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

from tests.support.object_stores import KINDS, MIB, PART, SESSION, Kind, content, put

NAME = "objects/ab/0199-aa"


async def test_cancelling_waits_for_the_buffer(store: ObjectStore, storage_bulkhead: Bulkhead) -> None:
    """A part that is cancelled while it is written, twice even, returns when its thread has let go, not before."""
    upload = await store.create_multipart(NAME, token=SESSION)
    buffer = bytearray(content(4 * PART))
    view = memoryview(buffer)
    writing = asyncio.create_task(store.put_part(NAME, upload, 1, view, crc32c=crc32c(view)))
    while not storage_bulkhead.running:  # noqa: ASYNC110 -- a bulkhead tells nobody that it begins
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.sleep(0)
    writing.cancel()
    assert storage_bulkhead.running == 1
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert storage_bulkhead.running == 0
    view.release()
    buffer.clear()  # BufferError while anything still looks at it
    await store.abort_multipart(NAME, upload)


async def test_the_buffer_comes_back(store: ObjectStore) -> None:
    """Nothing looks at it any more after a put, nor after a part."""
    upload = await store.create_multipart(NAME, token=SESSION)
    for number in (0, 1):
        buffer = bytearray(content(PART))
        view = memoryview(buffer)
        if number:
            await store.put_part(NAME, upload, number, view, crc32c=crc32c(view))
        else:
            await store.put(NAME, view, crc32c=crc32c(view), token=SESSION)
        view.release()
        buffer.clear()
    await store.abort_multipart(NAME, upload)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.name)  # moto takes its memory in this process
async def test_nothing_is_copied(store: ObjectStore, kind: Kind) -> None:
    """A part of 32 MiB goes to the store with less than 1 MiB of memory beside it."""
    upload = await store.create_multipart(NAME, token=SESSION)
    view = memoryview(bytearray(content(32 * MIB)))
    crc = crc32c(view)
    await store.put_part(NAME, upload, 1, view[:100], crc32c=crc32c(view[:100]))
    tracemalloc.start()
    try:
        await store.put_part(NAME, upload, 1, view, crc32c=crc)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB
    await store.abort_multipart(NAME, upload)


async def test_after_the_deadline_nothing_is_begun(store: ObjectStore) -> None:
    """The store is not asked when nobody waits for the answer any more."""
    await put(store, NAME, b"older")
    view = memoryview(b"newer")
    with deadline_scope(Deadline.after(0)):
        with pytest.raises(DeadlineExceeded):
            await store.put(NAME, view, crc32c=crc32c(view), token=SESSION)
        with pytest.raises(DeadlineExceeded):
            await store.read(NAME, 0, 10)
    assert await store.read(NAME, 0, 10) == b"older"
