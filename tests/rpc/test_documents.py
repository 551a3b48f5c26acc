"""DocumentService over the wire: lists, ranges and counts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode as Code
from ledgerlift.v1 import document_pb2, upload_service_pb2
from ledgerlift.v1 import document_service_pb2 as pb

from tests.support.raw_calls import delete, digest, documents, store
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import refused
from tests.support.stores import Stores, embedded

KIB = 1024
BLOCK = 64 * KIB
"""What one chunk holds where a message may have 128 KiB."""
UPLOADED = document_pb2.PROCESSING_STATUS_UPLOADED
PROCESSING = document_pb2.PROCESSING_STATUS_PROCESSING

_bytes = itertools.count(1)


async def make(channel: Any, key: str = "", content_type: str = "text/plain", size: int = 10) -> Any:
    """A new document, of bytes that no other has."""
    data = b"%0*d" % (size, next(_bytes))
    return (await store(channel, data, key=key, content_type=content_type)).document


async def listed(channel: Any, **request: Any) -> list[str]:
    """The keys on one page."""
    answer = await documents(channel).ListDocuments(pb.ListDocumentsRequest(**request))
    return [document.key for document in answer.documents]


async def process(channel: Any, document_id: str) -> None:
    """Somebody begins to work on it."""
    request = pb.UpdateProcessingStatusRequest(document_id=document_id, status=PROCESSING)
    await documents(channel).UpdateProcessingStatus(request, timeout=60)


# Lists.


async def test_filters_are_combined(stores: Stores) -> None:
    """Status, type, key prefix, owner and time, each alone and together; a prefix is no pattern."""
    async with stores.channel() as channel:
        first = await make(channel, "in/1")
        second = await make(channel, "in/2", "text/csv")
        third = await make(channel, "in_3", "text/csv")
        await make(channel)
        await process(channel, second.document_id)

        assert await listed(channel) == ["", "in_3", "in/2", "in/1"]
        assert await listed(channel, key_prefix="in") == ["in_3", "in/2", "in/1"]
        assert await listed(channel, key_prefix="in/") == ["in/2", "in/1"]
        assert await listed(channel, key_prefix="in_") == ["in_3"]  # `_` and `%` mean themselves
        assert await listed(channel, key_prefix="%") == []
        assert await listed(channel, content_type="text/csv") == ["in_3", "in/2"]
        assert await listed(channel, status=PROCESSING) == ["in/2"]
        assert await listed(channel, status=UPLOADED, content_type="text/csv") == ["in_3"]
        assert await listed(channel, status=PROCESSING, key_prefix="in_") == []
        assert await listed(channel, owner=first.owner, key_prefix="in/") == ["in/2", "in/1"]
        assert await listed(channel, owner="somebody else") == []
        assert await listed(channel, created_after=second.create_time) == ["", "in_3", "in/2"]  # at or after
        assert await listed(channel, created_before=second.create_time) == ["in/1"]  # before
        between = {"created_after": first.create_time, "created_before": third.create_time}
        assert await listed(channel, **between) == ["in/2", "in/1"]
        assert await listed(channel, created_before=Timestamp(seconds=0)) == []


async def test_pages_have_every_document_once(stores: Stores) -> None:
    """Newest first, also when documents come and go between two pages; the last page has no token."""
    async with stores.channel() as channel:
        made = [await make(channel, f"k{n}") for n in range(8)]
        pages: list[list[str]] = []
        token = ""
        while True:
            answer = await documents(channel).ListDocuments(
                pb.ListDocumentsRequest(page_size=3, page_token=token, key_prefix="k")
            )
            pages.append([document.key for document in answer.documents])
            token = answer.next_page_token
            if not token:
                break
            if len(pages) == 1:
                await make(channel, "k-new")
                await delete(channel, made[7].document_id)  # of the page before
                await delete(channel, made[3].document_id)  # of a page to come
        assert pages == [["k7", "k6", "k5"], ["k4", "k2", "k1"], ["k0"]]


async def test_a_token_belongs_to_its_filters(tmp_path: Path) -> None:
    """With others it would skip documents without a word; it is refused instead."""
    async with embedded(tmp_path).channel() as channel:
        for n in range(2):
            await make(channel, f"k{n}")
        token = (await documents(channel).ListDocuments(pb.ListDocumentsRequest(page_size=1))).next_page_token
        assert await listed(channel, page_size=1, page_token=token) == ["k0"]
        request = pb.ListDocumentsRequest(page_size=1, page_token=token, key_prefix="k")
        refusal = await refused(documents(channel).ListDocuments, request)
        assert (refusal.code, [*refusal.violations]) == (Code.INVALID_ARGUMENT, ["page_token"])


# Ranges.

SIZE = 3 * BLOCK + 10
RANGES: list[tuple[int, int | None]] = [
    (0, None),
    (0, SIZE),
    (0, SIZE + 1),
    (0, 0),
    (0, 1),
    (1, None),
    (BLOCK - 1, 2),
    (BLOCK, BLOCK),
    (BLOCK + 1, 2 * BLOCK),
    (SIZE - 1, 1),
    (SIZE - 1, 1000),
    (SIZE, None),
    (SIZE, 0),
    (SIZE, 1),
]


@pytest.mark.parametrize("part_size", [BLOCK // 2, 16 * BLOCK], ids=["several-parts", "one-object"])
async def test_ranges_of_a_document(tmp_path: Path, part_size: int) -> None:
    """The record, then chunks without a gap and each with its CRC, then the summary of the whole document."""
    data = content(1, SIZE)
    async with embedded(tmp_path, part_size=part_size).channel(max_message_size=2 * BLOCK) as channel:
        stream = messages(data, size=BLOCK, finish=True, spec=spec())
        document = (await uploads(channel).Upload(stream, timeout=60)).document
        for offset, length in RANGES:
            request = pb.DownloadDocumentRequest(document_id=document.document_id, offset=offset, length=length)
            first, *chunks, last = [part async for part in documents(channel).DownloadDocument(request, timeout=60)]
            assert first.document == document
            assert last.summary == pb.DownloadSummary(sha256=digest(data), size=SIZE)
            position = offset
            for part in chunks:
                assert part.WhichOneof("part") == "chunk"
                assert (part.chunk.offset, part.chunk.crc32c) == (position, crc32c(part.chunk.data))
                assert 0 < len(part.chunk.data) <= BLOCK
                position += len(part.chunk.data)
            whole = data[offset:] if length is None else data[offset : offset + length]
            assert b"".join(part.chunk.data for part in chunks) == whole


async def test_a_range_beyond_the_end_is_refused(tmp_path: Path) -> None:
    """The end itself is a place, the byte behind it is not: INVALID_ARGUMENT names the size."""
    async with embedded(tmp_path).channel() as channel:
        for size in (10, 0):
            document = (await store(channel, bytes(size))).document
            request = pb.DownloadDocumentRequest(document_id=document.document_id, offset=size + 1)
            refusal = await refused(documents(channel).DownloadDocument, request)
            assert refusal.code is Code.INVALID_ARGUMENT
            assert refusal.violations == {"offset": f"must be at most the size, {size}"}


# Counts.


async def test_counts_of_documents_and_of_what_is_stored(stores: Stores) -> None:
    """By status and by type; bytes that documents share are stored once."""
    async with stores.channel() as channel:
        assert (await stats(channel)) == pb.DocumentStats()
        first = await make(channel, size=100)
        await make(channel, content_type="text/csv", size=30)
        await process(channel, first.document_id)
        same = upload_service_pb2.DUPLICATE_POLICY_CREATE_NEW
        await store(channel, content(1, 1000), content_type="application/octet-stream")
        shared = await store(
            channel, content(1, 1000), content_type="application/octet-stream", duplicate_policy=same
        )
        found = await stats(channel)
        assert (found.document_count, found.total_size, found.object_count, found.stored_size) == (4, 2130, 3, 1130)
        by_status = {one.status: (one.document_count, one.total_size) for one in found.by_status}
        assert by_status == {UPLOADED: (3, 2030), PROCESSING: (1, 100)}
        by_type = [(one.content_type, one.document_count, one.total_size) for one in found.by_content_type]
        assert by_type[0] == ("application/octet-stream", 2, 2000)  # most documents first
        assert set(by_type[1:]) == {("text/plain", 1, 100), ("text/csv", 1, 30)}
        await delete(channel, shared.document.document_id)
        found = await stats(channel)
        assert (found.document_count, found.total_size, found.object_count, found.stored_size) == (3, 1130, 3, 1130)


async def stats(channel: Any) -> Any:
    """What the server counts."""
    return (await documents(channel).GetDocumentStats(pb.GetDocumentStatsRequest())).stats
