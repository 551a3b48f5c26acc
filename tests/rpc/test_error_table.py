"""The error table of DESIGN section 5 over the wire: what a caller did, the code and the reason, and what stands in
the details so that it knows what to do next.

What all refusals have in common (domain, request id, pushback, size) is held by `tests/support/refusals.py`. Wrong
fields have `test_invalid_requests.py`, and what is not the caller's doing `test_error_table_outages.py`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest
from crc32c import crc32c
from grpc import StatusCode as Code
from ledgerlift.v1 import document_pb2
from ledgerlift.v1 import document_service_pb2 as documents_pb
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.callers import ByHeader, named
from tests.support.raw_calls import begin, digest, documents, session, store, until_durable, until_ended
from tests.support.raw_uploads import content, messages, spec, uploads
from tests.support.refusals import Refusal, refusal_of, refused
from tests.support.stores import embedded

PART = 64 * 1024
LIMIT = 4 * PART
NOWHERE = "01234567-0123-0123-0123-0123456789ab"
WRONG = "0" * 64

M = pb.UploadRequest


def channel_to(folder: Path, **settings: Any) -> AbstractAsyncContextManager[grpc.aio.Channel]:
    """A server that takes documents of at most four parts."""
    return embedded(folder, part_size=PART).channel(**({"max_file_size": LIMIT} | settings))


async def send(channel: Any, *stream: pb.UploadRequest, **options: Any) -> Refusal:
    """What these messages, sent in one call that then ends, are refused with."""
    return await refused(uploads(channel).Upload, iter(stream), **options)


async def send_twice(channel: Any, *stream: pb.UploadRequest) -> Refusal:
    """As `send`; and once more the first message alone, which has to be refused for the same reason."""
    refusal = await send(channel, *stream)
    alone = await send(channel, stream[0])
    assert (alone.kind, alone.resource) == (refusal.kind, refusal.resource)
    return refusal


# What was sent is not what was declared.


async def test_a_message_whose_crc_is_wrong(tmp_path: Path) -> None:
    """CHECKSUM_MISMATCH names the place; the session stays ACTIVE, and the message may be sent again."""
    data = content(1, PART + 10)
    async with channel_to(tmp_path) as channel:
        upload_id = await begin(channel)
        first = M(upload_id=upload_id, data=data[:PART], crc32c=crc32c(data[:PART]))
        refusal = await send(channel, first, M(data=data[PART:], crc32c=1, finish_write=True))
        assert refusal.kind == (Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")
        assert (refusal.facts["upload_id"], refusal.facts["offset"]) == (upload_id, str(PART))
        assert await session(channel, upload_id) == ("ACTIVE", int(refusal.facts["persisted_size"]))
        answer = await uploads(channel).Upload(messages(data, finish=True, upload_id=upload_id))
    assert answer.document.sha256 == digest(data)


@pytest.mark.parametrize("size", [100, PART + 100])
async def test_a_document_whose_digest_is_wrong(tmp_path: Path, size: int) -> None:
    """CHECKSUM_MISMATCH tells what the server computed; the session is FAILED, and says so to whoever comes back."""
    data = content(1, size)
    async with channel_to(tmp_path) as channel:
        wrong: dict[str, Any] = {"sha256": WRONG}
        for first, last in ((wrong, {}), ({}, wrong), ({"sha256": digest(data)}, wrong)):
            upload_id = await begin(channel, **first)
            refusal = await send_twice(channel, M(upload_id=upload_id), M(data=data, finish_write=True, **last))
            assert refusal.kind == (Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH")
            assert refusal.facts["computed"] == digest(data)
            assert (await session(channel, upload_id))[0] == "FAILED"
        assert not (await documents(channel).ListDocuments(documents_pb.ListDocumentsRequest())).documents


async def test_bytes_of_another_type(tmp_path: Path) -> None:
    """CONTENT_TYPE_MISMATCH, as soon as a part or the document is there; the session is FAILED."""
    async with channel_to(tmp_path) as channel:
        for data in (b"%PDF-1.7 small", b"%PDF-1.7 large".ljust(PART + 1)):
            upload_id = await begin(channel, content_type="text/plain")
            refusal = await send_twice(channel, M(upload_id=upload_id), M(data=data, finish_write=True))
            assert refusal.kind == (Code.INVALID_ARGUMENT, "CONTENT_TYPE_MISMATCH")
            assert "PDF" in refusal.message
            assert (await session(channel, upload_id))[0] == "FAILED"


async def test_a_document_of_another_size(tmp_path: Path) -> None:
    """SIZE_MISMATCH: too many bytes, too few, or other than was declared at the end; never a truncated document."""
    end: dict[str, Any] = {"finish_write": True}
    cases: list[tuple[dict[str, int], list[pb.UploadRequest], dict[str, str]]] = [
        ({"size": 10}, [M(data=b"0" * 11)], {"declared_size": "10"}),
        ({"size": 10}, [M(data=b"0" * 9, **end)], {"received_size": "9"}),
        ({}, [M(data=b"0" * 9), M(data=b"0", size=9, **end)], {"received_size": "10"}),
        ({"size": 10}, [M(data=b"0" * 10, size=9, **end)], {"received_size": "10"}),
        ({"size": 0}, [M(data=b"0", **end)], {"declared_size": "0"}),
    ]
    async with channel_to(tmp_path) as channel:
        for declared, stream, facts in cases:
            upload_id = await begin(channel, **declared)
            refusal = await send(channel, M(upload_id=upload_id), *stream)
            assert refusal.kind == (Code.INVALID_ARGUMENT, "SIZE_MISMATCH")
            assert refusal.facts == {"upload_id": upload_id, "persisted_size": "0", **facts}
        upload_id = await begin(channel)
        first = M(upload_id=upload_id, accept_partial=True, data=bytes(2 * PART))
        await uploads(channel).Upload(iter([first]))
        short = M(upload_id=upload_id, write_offset=0, data=bytes(PART), **end)
        refusal = await send_twice(channel, short)
        assert refusal.kind == (Code.INVALID_ARGUMENT, "SIZE_MISMATCH")
        assert await session(channel, upload_id) == ("ACTIVE", 2 * PART)
        assert not (await documents(channel).ListDocuments(documents_pb.ListDocumentsRequest())).documents


async def test_a_document_that_is_too_large(tmp_path: Path) -> None:
    """DOCUMENT_TOO_LARGE with the limit: before a byte is sent where the size is declared, else at the limit."""
    async with channel_to(tmp_path) as channel:
        told = await refused(uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=spec(size=LIMIT + 1)))
        assert told.facts == {"limit": str(LIMIT), "field": "spec.size"}
        streamed = await send_twice(channel, M(spec=spec(size=LIMIT + 1)))
        upload_id = await begin(channel)
        found = await send_twice(channel, M(upload_id=upload_id), M(data=bytes(LIMIT)), M(data=b"1"))
        assert found.facts["limit"] == str(LIMIT)
        for refusal in (told, streamed, found):
            assert refusal.kind == (Code.INVALID_ARGUMENT, "DOCUMENT_TOO_LARGE")
        assert (await session(channel, upload_id))[0] == "FAILED"
        assert (await store(channel, bytes(LIMIT))).document.size == LIMIT  # the limit itself is fine


async def test_a_gap_in_the_offsets(tmp_path: Path) -> None:
    """OFFSET_GAP says where to go on: the durable size for a stream's first data, the end of the last one after."""
    async with channel_to(tmp_path) as channel:
        upload_id = await begin(channel)
        refusal = await send_twice(channel, M(upload_id=upload_id, write_offset=1, data=b"1"))
        assert refusal.kind == (Code.OUT_OF_RANGE, "OFFSET_GAP")
        assert refusal.facts == {"upload_id": upload_id, "persisted_size": "0", "expected_offset": "0"}
        for wrong in (9, 11):
            refusal = await send(channel, M(upload_id=upload_id, data=b"0" * 10), M(write_offset=wrong, data=b"1"))
            assert (refusal.kind, refusal.facts["expected_offset"]) == ((Code.OUT_OF_RANGE, "OFFSET_GAP"), "10")
        await uploads(channel).Upload(iter([M(upload_id=upload_id, accept_partial=True, data=bytes(PART))]))
        refusal = await send_twice(channel, M(upload_id=upload_id, write_offset=PART + 1, data=b"1"))
        assert (refusal.kind, refusal.facts["expected_offset"]) == ((Code.OUT_OF_RANGE, "OFFSET_GAP"), str(PART))
        assert await session(channel, upload_id) == ("ACTIVE", PART)


# The session or the document is not there, or not in a state that allows it.


async def test_what_is_not_there_and_what_is_anothers(tmp_path: Path) -> None:
    """Every method that takes an id answers NOT_FOUND alike for an unknown id and for another owner's."""
    async with channel_to(tmp_path, authenticator=ByHeader()) as channel:
        bobs = await uploads(channel).Upload(messages(b"x", finish=True, spec=spec("bobs")), metadata=named("bob"))
        (upload,) = (await uploads(channel).ListUploads(pb.ListUploadsRequest(), metadata=named("bob"))).uploads
        for upload_id in (NOWHERE, upload.upload_id):
            for method, request in (
                ("Upload", iter([M(upload_id=upload_id)])),
                ("GetUpload", pb.GetUploadRequest(upload_id=upload_id)),
                ("CancelUpload", pb.CancelUploadRequest(upload_id=upload_id)),
                ("WatchUpload", pb.WatchUploadRequest(upload_id=upload_id)),
            ):
                refusal = await refused(getattr(uploads(channel), method), request, metadata=named("alice"))
                assert refusal.kind == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND"), method
                assert refusal.resource == ("upload", upload_id)
        processing = document_pb2.PROCESSING_STATUS_PROCESSING
        for document_id in (NOWHERE, bobs.document.document_id):
            for asked in (
                documents_pb.GetDocumentRequest(document_id=document_id),
                documents_pb.DeleteDocumentRequest(document_id=document_id),
                documents_pb.DownloadDocumentRequest(document_id=document_id),
                documents_pb.UpdateProcessingStatusRequest(document_id=document_id, status=processing),
                documents_pb.RecordEventRequest(document_id=document_id, type="seen"),
            ):
                method = type(asked).__name__.removesuffix("Request")
                refusal = await refused(getattr(documents(channel), method), asked, metadata=named("alice"))
                assert refusal.kind == (Code.NOT_FOUND, "DOCUMENT_NOT_FOUND"), method
                assert refusal.resource == ("document", document_id)


async def test_a_session_that_was_given_up_or_has_expired(tmp_path: Path) -> None:
    """UPLOAD_CANCELLED and UPLOAD_EXPIRED, as often as it is asked."""
    async with channel_to(tmp_path, upload_session_lifetime=0.05, janitor_interval=0.05) as channel:
        expired = await begin(channel)
        assert await until_ended(channel, expired) == "EXPIRED"
    async with channel_to(tmp_path) as channel:
        cancelled = await begin(channel)
        await uploads(channel).CancelUpload(pb.CancelUploadRequest(upload_id=cancelled))
        for upload_id, reason in ((expired, "UPLOAD_EXPIRED"), (cancelled, "UPLOAD_CANCELLED")):
            refusal = await send_twice(channel, M(upload_id=upload_id), M(data=b"x", finish_write=True))
            assert refusal.kind == (Code.FAILED_PRECONDITION, reason)
            assert refusal.facts == {"upload_id": upload_id, "persisted_size": "0"}


async def test_a_committed_upload_cannot_be_given_up(tmp_path: Path) -> None:
    """UPLOAD_ALREADY_COMMITTED; sending into it once more is fine, and answers its document."""
    async with channel_to(tmp_path) as channel:
        upload_id = await begin(channel)
        stream = [M(upload_id=upload_id, data=b"x", finish_write=True)]
        first = await uploads(channel).Upload(iter(stream))
        refusal = await refused(uploads(channel).CancelUpload, pb.CancelUploadRequest(upload_id=upload_id))
        assert refusal.kind == (Code.FAILED_PRECONDITION, "UPLOAD_ALREADY_COMMITTED")
        assert await uploads(channel).Upload(iter(stream)) == first


async def test_a_newer_stream_has_taken_the_session(tmp_path: Path) -> None:
    """UPLOAD_SUPERSEDED ends the older stream at once, with what is durable; the newer one commits."""
    data = content(1, PART + 10)
    async with channel_to(tmp_path) as channel:
        upload_id = await begin(channel)
        older = uploads(channel).Upload(timeout=60, metadata=(("x-request-id", "older"),))
        await older.write(M(upload_id=upload_id, data=data[:PART]))
        await until_durable(channel, upload_id, PART)  # from here on it only waits
        newer = uploads(channel).Upload(timeout=60)
        await newer.write(M(upload_id=upload_id))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await older
        refusal = refusal_of(caught.value, "older")
        assert refusal.kind == (Code.ABORTED, "UPLOAD_SUPERSEDED")
        assert refusal.facts == {"upload_id": upload_id, "persisted_size": str(PART)}
        await newer.write(M(data=data[PART:], finish_write=True))
        assert (await newer).document.sha256 == digest(data)


async def test_conflicts_name_what_is_there(tmp_path: Path) -> None:
    """DUPLICATE_DOCUMENT, KEY_TAKEN and REQUEST_ID_REUSED, each with the id of the other; repeated alike."""
    async with channel_to(tmp_path) as channel:
        held = (await store(channel, b"held", key="k")).document
        upload_id = await begin(channel, request_id="r")
        declared: dict[str, Any] = {
            "size": 4,
            "sha256": digest(b"held"),
            "duplicate_policy": pb.DUPLICATE_POLICY_REJECT,
        }
        for described, reason, resource in (
            (spec(**declared), "DUPLICATE_DOCUMENT", ("document", held.document_id)),
            (spec(key="k", sha256=WRONG), "KEY_TAKEN", ("document", held.document_id)),
            (spec("r", key="other"), "REQUEST_ID_REUSED", ("upload", upload_id)),
        ):
            refusal = await send_twice(channel, M(spec=described), M(data=b"held", finish_write=True))
            assert (refusal.kind, refusal.resource) == ((Code.ALREADY_EXISTS, reason), resource)


async def test_a_status_that_cannot_follow(tmp_path: Path) -> None:
    """INVALID_STATUS_TRANSITION tells what could."""
    async with channel_to(tmp_path) as channel:
        document = (await store(channel, b"x")).document
        request = documents_pb.UpdateProcessingStatusRequest(
            document_id=document.document_id, status=document_pb2.PROCESSING_STATUS_COMPLETED
        )
        refusal = await refused(documents(channel).UpdateProcessingStatus, request)
    assert refusal.kind == (Code.FAILED_PRECONDITION, "INVALID_STATUS_TRANSITION")
    assert refusal.facts == {"from_status": "UPLOADED", "to_status": "COMPLETED", "allowed": "FAILED,PROCESSING"}
