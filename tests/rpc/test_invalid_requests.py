"""INVALID_ARGUMENT over the wire: every wrong field by its path, all at once, and what is no message at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode as Code
from ledgerlift.v1 import document_pb2, document_service_pb2_grpc
from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import upload_service_pb2 as pb

from tests.support.raw_uploads import spec, uploads
from tests.support.refusals import Refusal, refused
from tests.support.stores import embedded

INVALID = (Code.INVALID_ARGUMENT, "INVALID_FIELD")
NOWHERE = "01234567-0123-0123-0123-0123456789ab"
NONSENSE = "no"
KIB = 1024


def stub_of(channel: Any, request: Any) -> Any:
    """The service that takes this request."""
    if request.DESCRIPTOR.file is pb.DESCRIPTOR:
        return uploads(channel)
    return document_service_pb2_grpc.DocumentServiceStub(channel)


async def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    """One answer for all of them, to CreateUpload and to the first message of Upload alike."""
    wrong = pb.UploadSpec(
        filename="a/b",
        content_type="nonsense",
        size=-1,
        sha256="AB",
        key="k" * 513,
        metadata={"": "v", "long": "v" * 1025},
        duplicate_policy=99,  # type: ignore[arg-type]  # as a newer client may send it
        request_id="r" * 129,
    )
    async with embedded(tmp_path).channel() as channel:
        unknown_policy = await refused(uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=wrong))
        assert (unknown_policy.kind, [*unknown_policy.violations]) == (INVALID, ["spec.duplicate_policy"])
        wrong.ClearField("duplicate_policy")
        answers = [
            await refused(uploads(channel).CreateUpload, pb.CreateUploadRequest(spec=wrong)),
            await refused(uploads(channel).Upload, iter([pb.UploadRequest(spec=wrong, finish_write=True)])),
        ]
    names = ["filename", "content_type", "size", "sha256", "key", "metadata['']", "metadata['long']", "request_id"]
    for refusal in answers:
        assert (refusal.kind, refusal.facts) == (INVALID, {"violation_count": "8"})
        assert set(refusal.violations) == {f"spec.{name}" for name in names}


async def test_only_the_first_twenty_violations_are_listed(tmp_path: Path) -> None:
    """Details stay small, and the number of all is told."""
    async with embedded(tmp_path).channel() as channel:
        refusal = await refused(uploads(channel).CheckDigests, pb.CheckDigestsRequest(sha256=["no"] * 1000))
    assert (refusal.kind, refusal.facts) == (INVALID, {"violation_count": "1000"})
    assert list(refusal.violations) == [f"sha256[{n}]" for n in range(20)]


FAILED = document_pb2.PROCESSING_STATUS_FAILED
REQUESTS: list[tuple[Any, set[str]]] = [
    (pb.CreateUploadRequest(), {"spec"}),
    (pb.GetUploadRequest(upload_id="7"), {"upload_id"}),
    (pb.CancelUploadRequest(), {"upload_id"}),
    (pb.WatchUploadRequest(upload_id=NOWHERE.upper()), {"upload_id"}),
    (pb.ListUploadsRequest(page_size=-1, state=99), {"state", "page_size"}),  # type: ignore[arg-type]  # as above
    (pb.ListUploadsRequest(page_token=NONSENSE), {"page_token"}),
    (pb.ListUploadsRequest(request_id="a\0"), {"request_id"}),
    (pb.CheckDigestsRequest(), {"sha256"}),
    (pb.CheckDigestsRequest(sha256=["0" * 64] * 1001), {"sha256"}),
    (documents.GetDocumentRequest(), {"document_id"}),
    (documents.DeleteDocumentRequest(document_id="7"), {"document_id"}),
    (documents.ListDocumentsRequest(page_size=-1, status=99), {"status", "page_size"}),  # type: ignore[arg-type]  # as above
    (documents.ListDocumentsRequest(page_token=NONSENSE), {"page_token"}),
    (documents.ListDocumentsRequest(content_type="a\0", key_prefix="k\0"), {"content_type", "key_prefix"}),
    (documents.ListDocumentsRequest(content_type="a" * 256, key_prefix="k" * 513), {"content_type", "key_prefix"}),
    (documents.DownloadDocumentRequest(offset=-1, length=-1), {"document_id", "offset", "length"}),
    (documents.UpdateProcessingStatusRequest(request_id="r" * 129), {"document_id", "status", "request_id"}),
    (documents.UpdateProcessingStatusRequest(document_id=NOWHERE, status=FAILED), {"error_message"}),
    (
        documents.RecordEventRequest(document_id=NOWHERE, type="document.created", detail={"": ""}),
        {"type", "detail['']"},
    ),
    (documents.ListEventsRequest(document_id="7", upload_id="8"), {"document_id", "upload_id"}),
    (documents.WatchEventsRequest(cursor=NONSENSE), {"cursor"}),
]


async def test_every_method_names_its_wrong_fields(tmp_path: Path) -> None:
    """Ids, pages, enums, ranges and cursors, before anything is looked up."""
    async with embedded(tmp_path).channel() as channel:
        for request, fields in REQUESTS:
            method = type(request).__name__.removesuffix("Request")
            refusal = await refused(getattr(stub_of(channel, request), method), request)
            assert refusal.kind == INVALID, request
            assert set(refusal.violations) == fields, request


FIRST = pb.UploadRequest(spec=spec(size=10), data=b"12345")
STREAMS = [
    ([pb.UploadRequest(data=b"1", finish_write=True)], {"target"}),
    ([pb.UploadRequest(upload_id="7")], {"upload_id"}),
    ([FIRST, FIRST], {"target"}),
    ([FIRST, pb.UploadRequest(write_offset=-1)], {"write_offset"}),
    ([FIRST, pb.UploadRequest(size=10, sha256="0" * 64)], {"size", "sha256"}),  # only for the end
    ([FIRST, pb.UploadRequest(data=b"67890", size=-1, sha256="AB", finish_write=True)], {"size", "sha256"}),
]


async def test_every_message_of_an_upload_names_its_wrong_fields(tmp_path: Path) -> None:
    """Wherever in the stream it comes. The session stays as it is, and can be gone on with."""
    async with embedded(tmp_path).channel() as channel:
        for stream, fields in STREAMS:
            refusal = await refused(uploads(channel).Upload, iter(stream))
            assert (refusal.kind, set(refusal.violations)) == (INVALID, fields), stream
        listed = await uploads(channel).ListUploads(pb.ListUploadsRequest())
        assert {upload.state for upload in listed.uploads} == {pb.UPLOAD_STATE_ACTIVE}


async def test_a_type_that_is_not_allowed_names_those_that_are(tmp_path: Path) -> None:
    """Exactly, by `type/*`, and with parameters and capitals, which do not count."""
    async with embedded(tmp_path).channel(allowed_content_types=("text/*", "application/pdf")) as channel:

        async def answer(content_type: str) -> Refusal | None:
            request = pb.CreateUploadRequest(spec=pb.UploadSpec(filename="a", content_type=content_type))
            if content_type.startswith("image/"):
                return await refused(uploads(channel).CreateUpload, request)
            await uploads(channel).CreateUpload(request)
            return None

        for taken in ("text/csv", "application/pdf", "Text/HTML; charset=utf-8"):
            assert await answer(taken) is None
        refusal = await answer("image/png")
    assert refusal is not None
    assert refusal.kind == INVALID
    assert "text/*, application/pdf" in refusal.violations["spec.content_type"]


@pytest.mark.parametrize(
    "method",
    [
        "ledgerlift.v1.UploadService/CreateUpload",
        "ledgerlift.v1.UploadService/Upload",
        "ledgerlift.v1.DocumentService/WatchEvents",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_bytes_that_are_no_message_are_the_callers_mistake(tmp_path: Path, method: str) -> None:
    """Of every shape of call: nothing of the parser's own words, and no traceback for each in the log."""
    path = f"/{method}"
    async with embedded(tmp_path).channel() as channel:
        raw: Any = channel  # its stubs take bytes where they are given no serializer
        call, request = {
            "CreateUpload": (raw.unary_unary(path), b"\xff"),
            "Upload": (raw.stream_unary(path), iter([b"\xff"])),
            "WatchEvents": (raw.unary_stream(path), b"\xff"),
            "ServerReflectionInfo": (raw.stream_stream(path), iter([b"\xff"])),
        }[method.partition("/")[2]]
        refusal = await refused(call, request)
    assert (refusal.kind, [*refusal.violations]) == (INVALID, ["request"])


async def test_a_message_larger_than_the_limit_is_refused_by_grpc(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo: for clients that is permanent. At the limit it is taken."""
    limit = 128 * KIB
    async with embedded(tmp_path).channel(max_message_size=limit) as channel:
        message = pb.UploadRequest(spec=spec(), finish_write=True)
        message.data = bytes(limit - message.ByteSize() - 4)  # tag and length of `data`
        assert message.ByteSize() == limit
        assert (await uploads(channel).Upload(iter([message]))).document.size == len(message.data)
        message.data += b"0"
        refusal = await refused(uploads(channel).Upload, iter([message]))
    assert refusal.kind == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
    assert refusal.retry_after is None
