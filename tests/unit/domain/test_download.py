"""`domain/download.py`: every byte as it was stored, or an error instead of the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, cast

import pytest
from crc32c import crc32c
from ledgerlift_server import errors
from ledgerlift_server.adapters.compute import ComputePool
from ledgerlift_server.adapters.digest import crc32c as crc_of
from ledgerlift_server.adapters.digest import load_hashers
from ledgerlift_server.domain.download import Chunk, Downloads
from ledgerlift_server.domain.models import Document
from ledgerlift_server.domain.upload_stream import Committed

from tests.support.domain_objects import caller, spec
from tests.support.loop_clock import reports_of, turns, until
from tests.support.upload_rig import PART, Gate, Replica, UploadRig, content, failing, stream

BLOCK = 1000
SIZE = 3 * PART + 5


@pytest.fixture
async def downloads(rig: UploadRig, replica: Replica) -> AsyncIterator[Downloads]:
    """Reads through the replica's store."""
    with closing(ComputePool(2)) as compute:
        yield make(rig, replica, compute)


def make(rig: UploadRig, replica: Replica, compute: ComputePool) -> Downloads:
    """Downloads by blocks of `BLOCK`."""
    return Downloads(rig.documents, cast(Any, replica.store), load_hashers(), crc_of, compute, block_size=BLOCK)


async def stored(replica: Replica, data: bytes) -> Document:
    """A document of these bytes."""
    done = await replica.run(*stream(data, to=spec()))
    assert isinstance(done, Committed)
    return done.document


async def everything(reading: AsyncIterator[Document | Chunk]) -> tuple[Document, bytes]:
    """The record and the bytes, each chunk looked at."""
    record: Document | None = None
    data = bytearray()
    first: int | None = None
    async for part in reading:
        if isinstance(part, Document):
            assert record is None
            record = part
        else:
            first = part.offset if first is None else first
            assert part.offset == first + len(data)
            assert 0 < len(part.data) <= BLOCK
            assert part.crc32c == crc32c(part.data)
            data += part.data
    assert record is not None
    return record, bytes(data)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, SIZE])
async def test_a_document_comes_back_as_it_was_stored(replica: Replica, downloads: Downloads, size: int) -> None:
    """The record first, then all bytes in order, each chunk with its CRC."""
    document = await stored(replica, content(size))
    assert await everything(downloads.run(caller(), document.document_id, 0, None)) == (document, content(size))


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 0, slice(0, 0)),
        (0, 10, slice(0, 10)),
        (5, None, slice(5, SIZE)),
        (BLOCK - 1, 2, slice(BLOCK - 1, BLOCK + 1)),
        (100, 2 * BLOCK, slice(100, 100 + 2 * BLOCK)),
        (SIZE - 1, None, slice(SIZE - 1, SIZE)),
        (SIZE, None, slice(SIZE, SIZE)),
        (SIZE, 5, slice(SIZE, SIZE)),
        (0, SIZE, slice(0, SIZE)),
        (0, SIZE + 1, slice(0, SIZE)),
        (10, 2**62, slice(10, SIZE)),
    ],
)
async def test_a_range_is_exactly_that(
    replica: Replica, downloads: Downloads, offset: int, length: int | None, expected: slice
) -> None:
    """More than there is means to the end."""
    data = content(SIZE)
    document = await stored(replica, data)
    assert (await everything(downloads.run(caller(), document.document_id, offset, length)))[1] == data[expected]


@pytest.mark.parametrize(
    ("document_id", "offset", "length", "fields"),
    [
        ("nonsense", -1, -1, ["document_id", "offset", "length"]),
        (None, SIZE + 1, None, ["offset"]),
        (None, 0, -1, ["length"]),
    ],
)
async def test_a_wrong_range_is_refused_by_field(
    replica: Replica,
    downloads: Downloads,
    document_id: str | None,
    offset: int,
    length: int | None,
    fields: list[str],
) -> None:
    """Before anything is read."""
    document = await stored(replica, content(SIZE))
    with pytest.raises(errors.InvalidRequest) as refused:
        await everything(downloads.run(caller(), document_id or document.document_id, offset, length))
    assert [violation.field for violation in refused.value.violations] == fields
    assert replica.store.count("read") == 0


async def test_another_owners_document_is_not_found(replica: Replica, downloads: Downloads) -> None:
    """Not even its record."""
    document = await stored(replica, content(5))
    with pytest.raises(errors.DocumentNotFound):
        await everything(downloads.run(caller("mallory"), document.document_id, 0, None))


@pytest.mark.parametrize("size", [100, BLOCK, SIZE])
async def test_other_bytes_end_in_an_error_and_not_in_an_end(
    rig: UploadRig, replica: Replica, downloads: Downloads, size: int
) -> None:
    """The last chunk is kept back until the digest has been compared."""
    document = await stored(replica, content(size))
    damaged = content(size, seed=1)
    await rig.store.put(document.object_name, memoryview(damaged), crc32c=crc32c(damaged), token="x")  # noqa: S106
    received = bytearray()

    async def read() -> None:
        async for part in downloads.run(caller(), document.document_id, 0, None):
            received.extend(part.data if isinstance(part, Chunk) else b"")

    with pytest.raises(errors.StoredObjectCorrupt) as corrupt:
        await read()
    assert corrupt.value.metadata["expected"] == document.sha256
    assert len(received) < size


async def test_a_range_of_damaged_bytes_is_not_compared(
    rig: UploadRig, replica: Replica, downloads: Downloads
) -> None:
    """Nobody can say; the client has the CRC of each chunk, as stored."""
    document = await stored(replica, content(100))
    damaged = content(100, seed=1)
    await rig.store.put(document.object_name, memoryview(damaged), crc32c=crc32c(damaged), token="x")  # noqa: S106
    assert (await everything(downloads.run(caller(), document.document_id, 1, None)))[1] == damaged[1:]


@pytest.mark.parametrize("offset", [0, 50])
async def test_an_object_that_ends_too_early_is_corrupt(
    rig: UploadRig, replica: Replica, downloads: Downloads, offset: int
) -> None:
    """Whole or in part."""
    document = await stored(replica, content(100))
    await rig.store.put(document.object_name, memoryview(b"x" * 60), crc32c=crc32c(b"x" * 60), token="x")  # noqa: S106
    with pytest.raises(errors.StoredObjectCorrupt, match="ends after 60 bytes"):
        await everything(downloads.run(caller(), document.document_id, offset, None))


async def test_an_object_that_is_gone_is_corruption(rig: UploadRig, replica: Replica, downloads: Downloads) -> None:
    """The record says that it is there."""
    document = await stored(replica, content(100))
    await rig.store.delete(document.object_name)
    with pytest.raises(errors.StoredObjectCorrupt, match="gone"):
        await everything(downloads.run(caller(), document.document_id, 0, None))


async def test_a_document_that_is_deleted_meanwhile_is_not_found(
    rig: UploadRig, replica: Replica, downloads: Downloads
) -> None:
    """That is no corruption."""
    document = await stored(replica, content(SIZE))
    reading = downloads.run(caller(), document.document_id, 0, None)
    async with aclosing(cast(Any, reading)):
        await anext(reading)
        await anext(reading)
        await rig.documents.delete(caller(), document.document_id)
        await replica.janitor.run_once()
        with pytest.raises(errors.DocumentNotFound):
            await everything(reading)


async def test_one_block_is_read_ahead_and_no_more(replica: Replica, downloads: Downloads) -> None:
    """A slow client holds two blocks, not the document."""
    document = await stored(replica, content(SIZE))
    reading = downloads.run(caller(), document.document_id, 0, None)
    async with aclosing(cast(Any, reading)):
        await anext(reading)
        await anext(reading)
        await turns(50)
        assert replica.store.count("read") == 2


async def test_a_store_that_fails_ends_the_download(replica: Replica, downloads: Downloads) -> None:
    """With its own error."""
    document = await stored(replica, content(SIZE))
    replica.store.before["read"] = failing(
        errors.DependencyUnavailable("down"), lambda _name, offset, _length: offset > 0
    )
    with pytest.raises(errors.DependencyUnavailable):
        await everything(downloads.run(caller(), document.document_id, 0, None))


def test_a_client_that_leaves_leaves_nothing_behind(sqlite_url: str, tmp_path: Path) -> None:
    """The block that was read ahead fails when nobody waits for it: the loop has nothing to report."""

    async def scenario() -> None:
        async with UploadRig(sqlite_url, tmp_path / "objects") as rig:
            replica = rig.replica()
            with closing(ComputePool(1)) as compute:
                document = await stored(replica, content(SIZE))
                replica.store.before["read"] = failing(
                    errors.DependencyUnavailable("down"), lambda _name, offset, _length: offset > 0
                )
                reading = make(rig, replica, compute).run(caller(), document.document_id, 0, None)
                await anext(reading)
                await anext(reading)
                await asyncio.sleep(0.02)
                await cast(Any, reading).aclose()

    assert reports_of(scenario) == []


async def test_a_download_that_is_given_up_reads_no_more(replica: Replica, downloads: Downloads) -> None:
    """The read ahead is called off."""
    document = await stored(replica, content(SIZE))
    gate = replica.store.before["read"] = Gate(lambda _name, offset, _length: offset > 0)
    reading = downloads.run(caller(), document.document_id, 0, None)
    await anext(reading)
    await anext(reading)
    await cast(Any, reading).aclose()
    gate.open()
    await until(lambda: replica.store.under_way == 0)
    assert replica.store.done["read"] == 1
