"""The server is killed at each step of a commit: one whole document is left, or none, and nothing beside it."""

from __future__ import annotations

import asyncio
import hashlib
import signal

import grpc
import pytest
from ledgerlift_client import LedgerLiftClient, UploadResult
from ledgerlift_server.app import serving
from ledgerlift_server.domain.drift import DriftReport
from ledgerlift_server.domain.upload_models import UploadState

from tests.support.invariants import clean_up, everything, expire_all
from tests.support.raw_uploads import CONTENT_TYPE, FILENAME, content, messages, spec, uploads
from tests.support.stores import Stores

# The steps as `domain/commit.py` names them. Up to the first, nothing is decided; from the second on, the commit
# can only go forward.
UNDECIDED = ("sealed",)
DECIDED = ("committing", "completed", "published")
MULTIPART_ONLY = ("before_complete",)

CASES = [
    *((step, parts) for parts in (0, 2) for step in (*UNDECIDED, *DECIDED)),
    *((step, 2) for step in MULTIPART_ONLY),
]
REQUEST_ID = "crash"


def _document(stores: Stores, parts: int) -> bytes:
    return content(parts, parts * stores.part_size + 1000)


def _upload(address: str, data: bytes) -> grpc.StatusCode:
    """In one call, by a client that knows nothing of resuming. What it saw."""
    with grpc.insecure_channel(address) as channel:
        stream = messages(data, finish=True, spec=spec(REQUEST_ID, size=len(data)))
        try:
            uploads(channel).Upload(stream, timeout=60)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def _ask_again(address: str, data: bytes) -> UploadResult:
    with LedgerLiftClient(address) as client:
        return client.upload(data, filename=FILENAME, content_type=CONTENT_TYPE, request_id=REQUEST_ID)


async def _crash(stores: Stores, step: str, data: bytes) -> None:
    async with stores.server(crash_at=step) as server:
        code = await asyncio.to_thread(_upload, server.address, data)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert await server.wait() == -signal.SIGKILL, server.output


async def _clean_up(stores: Stores, *, keep_ended: bool = True) -> None:
    """Comparing the stores finds nothing: what is to be removed was written down in the transaction that left it."""
    report = await clean_up(stores, keep_ended=keep_ended)
    assert report.drift == DriftReport(complete=True)


@pytest.mark.parametrize(("step", "parts"), CASES)
async def test_one_whole_document_or_none(stores: Stores, step: str, parts: int) -> None:
    """After one pass of the janitor, no orphan; whoever asks again gets the one document."""
    data = _document(stores, parts)
    await _crash(stores, step, data)

    await _clean_up(stores)
    left = await everything(stores)
    assert left.problems() == []
    assert len(left.documents) == (0 if step in UNDECIDED else 1)

    async with serving(stores.settings) as server:
        result = await asyncio.to_thread(_ask_again, server.address, data)
    assert result.document.sha256 == hashlib.sha256(data).hexdigest()
    assert [result.document.document_id] == [d.document_id for d in left.documents] or not left.documents

    await _clean_up(stores, keep_ended=False)
    found = await everything(stores)
    assert found.problems() == []
    assert [document.document_id for document in found.documents] == [result.document.document_id]
    assert found.objects == {document.object_name for document in found.documents}
    assert (found.sessions, found.multiparts, found.parts) == ((), frozenset(), {})


@pytest.mark.parametrize("parts", [0, 2])
@pytest.mark.parametrize("step", UNDECIDED)
async def test_nothing_is_left_when_nobody_asks_again(stores: Stores, step: str, parts: int) -> None:
    """An upload that its client gives up after the crash expires, with all that it had stored."""
    await _crash(stores, step, _document(stores, parts))
    await expire_all(stores)
    await _clean_up(stores)
    found = await everything(stores)
    assert [session.state for session in found.sessions] == [UploadState.EXPIRED]
    assert (found.documents, found.objects, found.multiparts, found.removals) == ((), frozenset(), frozenset(), 0)
    await _clean_up(stores, keep_ended=False)
    found = await everything(stores)
    assert (found.sessions, found.parts) == ((), {})
