"""UploadService on the wire: translate and delegate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift.v1 import upload_service_pb2_grpc

from ledgerlift_server.domain.upload_entry import UploadEntry
from ledgerlift_server.domain.upload_models import UploadFilter, UploadSession, UploadState
from ledgerlift_server.domain.upload_options import UploadOptions
from ledgerlift_server.domain.upload_service import UploadService
from ledgerlift_server.domain.upload_stream import Committed, Stopped
from ledgerlift_server.domain.validation import (
    MAX_DIGESTS,
    MAX_METADATA_ENTRIES,
    MAX_REQUEST_ID_CHARACTERS,
    Limits,
    Violations,
    page_size_of,
)
from ledgerlift_server.rpc import convert
from ledgerlift_server.rpc.caller import current_caller
from ledgerlift_server.rpc.request_stream import RequestStream

UPLOAD_ID_HEADER = "ledgerlift-upload-id"
PERSISTED_SIZE_HEADER = "ledgerlift-persisted-size"


class UploadServicer(upload_service_pb2_grpc.UploadServiceServicer):
    """Upload sessions and the bytes that go into them."""

    def __init__(
        self,
        uploads: UploadService,
        entry: UploadEntry,
        options: UploadOptions,
        limits: Limits,
        *,
        max_message_size: int,
        request_stream: Callable[[Any], RequestStream] = RequestStream,
    ) -> None:
        """`max_message_size` in bytes is the server's own, told by GetLimits."""
        self._uploads = uploads
        self._entry = entry
        self._options = options
        self._limits = limits
        self._max_message_size = max_message_size
        self._request_stream = request_stream

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Any) -> pb.CreateUploadResponse:
        """See `UploadService` in `protos`."""
        found = Violations()
        found.require(request.HasField("spec"), "spec", "is required")
        found.raise_if_any()
        spec = convert.upload_spec(request.spec, found)
        found.raise_if_any()
        opened = await self._uploads.open(current_caller.get(), spec)
        return pb.CreateUploadResponse(
            upload=self._upload(opened.session),
            document=convert.document_message(opened.document) if opened.document else None,
            duplicate=opened.session.duplicate,
        )

    async def Upload(self, request_iterator: Any, context: Any) -> pb.UploadResponse:
        """See `UploadService` in `protos`. The end of the stream is not success."""

        async def announce(session: UploadSession) -> None:
            await context.send_initial_metadata(
                (
                    (UPLOAD_ID_HEADER, session.upload_id),
                    (PERSISTED_SIZE_HEADER, str(session.persisted_size)),
                )
            )

        source = self._request_stream(request_iterator)
        try:
            outcome = await self._entry.run(current_caller.get(), source, announce)
        finally:
            source.close()
        return self._response(outcome)

    async def GetUpload(self, request: pb.GetUploadRequest, context: Any) -> pb.GetUploadResponse:
        """See `UploadService` in `protos`."""
        session, document = await self._uploads.get(current_caller.get(), _upload_id(request.upload_id))
        return pb.GetUploadResponse(
            upload=self._upload(session),
            document=convert.document_message(document) if document else None,
            duplicate=session.duplicate,
        )

    async def CancelUpload(self, request: pb.CancelUploadRequest, context: Any) -> pb.CancelUploadResponse:
        """See `UploadService` in `protos`."""
        session = await self._uploads.cancel(current_caller.get(), _upload_id(request.upload_id))
        return pb.CancelUploadResponse(upload=self._upload(session))

    async def ListUploads(self, request: pb.ListUploadsRequest, context: Any) -> pb.ListUploadsResponse:
        """See `UploadService` in `protos`."""
        found = Violations()
        state = convert.enum_member(UploadState, pb.UploadState, "UPLOAD_STATE", request.state, found, "state")
        found.text("request_id", request.request_id, MAX_REQUEST_ID_CHARACTERS)
        page_size = page_size_of(found, "page_size", request.page_size)
        found.raise_if_any()
        page = await self._uploads.list(
            current_caller.get(),
            UploadFilter(request_id=request.request_id or None, state=state),
            page_size=page_size,
            page_token=request.page_token,
        )
        return pb.ListUploadsResponse(uploads=map(self._upload, page.items), next_page_token=page.next_token)

    async def WatchUpload(
        self, request: pb.WatchUploadRequest, context: Any
    ) -> AsyncIterator[pb.WatchUploadResponse]:
        """See `UploadService` in `protos`."""
        async for session in self._uploads.watch(current_caller.get(), _upload_id(request.upload_id)):
            yield pb.WatchUploadResponse(upload=self._upload(session))

    async def CheckDigests(self, request: pb.CheckDigestsRequest, context: Any) -> pb.CheckDigestsResponse:
        """See `UploadService` in `protos`."""
        found = Violations()
        count = len(request.sha256)
        found.require(1 <= count <= MAX_DIGESTS, "sha256", f"must have 1 to {MAX_DIGESTS} entries, has {count}")
        for index, digest in enumerate(request.sha256[:MAX_DIGESTS]):
            found.sha256(f"sha256[{index}]", digest)
        found.raise_if_any()
        existing = await self._uploads.check_digests(current_caller.get(), request.sha256)
        return pb.CheckDigestsResponse(
            existing=[
                pb.ExistingDigest(sha256=one.sha256, document_id=one.document_id, size=one.size) for one in existing
            ]
        )

    async def GetLimits(self, request: pb.GetLimitsRequest, context: Any) -> pb.GetLimitsResponse:
        """See `UploadService` in `protos`."""
        options = self._options
        limits = pb.Limits(
            max_document_size=self._limits.max_document_size,
            max_message_size=self._max_message_size,
            segment_size=options.segment_size_for(options.part_size),
            part_size=options.part_size,
            session_lifetime=_duration(options.session_lifetime),
            allowed_content_types=self._limits.allowed_content_types,
            request_id_lifetime=_duration(options.request_id_lifetime),
            max_metadata_entries=MAX_METADATA_ENTRIES,
            stall_timeout=_duration(options.stall_timeout),
        )
        return pb.GetLimitsResponse(limits=limits)

    def _upload(self, session: UploadSession) -> pb.Upload:
        return convert.upload_message(session, self._options)

    def _response(self, outcome: Committed | Stopped) -> pb.UploadResponse:
        receipt = convert.receipt_message(outcome.receipt)
        if isinstance(outcome, Committed):
            document = convert.document_message(outcome.document)
            return pb.UploadResponse(document=document, duplicate=outcome.duplicate, receipt=receipt)
        return pb.UploadResponse(
            upload=self._upload(outcome.session),
            stop_reason=f"STOP_REASON_{outcome.reason.name}",
            receipt=receipt,
        )


def _upload_id(upload_id: str) -> str:
    found = Violations()
    found.uuid("upload_id", upload_id)
    found.raise_if_any()
    return upload_id


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
