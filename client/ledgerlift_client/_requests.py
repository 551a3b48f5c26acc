"""The requests of both clients, out of the arguments of their methods."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ledgerlift.v1 import document_service_pb2 as documents
from ledgerlift.v1 import upload_service_pb2 as uploads

from ledgerlift_client import _convert
from ledgerlift_client._models import ProcessingStatus, UploadState

MOST_DIGESTS = 1000  # CheckDigestsRequest


def list_uploads(request_id: str | None, state: UploadState | None, page_size: int) -> uploads.ListUploadsRequest:
    """The first page of sessions."""
    request = uploads.ListUploadsRequest(page_size=page_size, request_id=request_id or "")
    if state is not None:
        request.state = _convert.state_number(state)  # type: ignore[assignment]  # a number, as on the wire
    return request


def check_digests(digests: Sequence[str]) -> Iterator[uploads.CheckDigestsRequest]:
    """As many calls as it takes."""
    for start in range(0, len(digests), MOST_DIGESTS):
        yield uploads.CheckDigestsRequest(sha256=digests[start : start + MOST_DIGESTS])


def list_documents(
    *,
    status: ProcessingStatus | None,
    content_type: str | None,
    key_prefix: str | None,
    owner: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
    page_size: int,
) -> documents.ListDocumentsRequest:
    """The first page of documents. ValueError for a time without a time zone."""
    request = documents.ListDocumentsRequest(
        page_size=page_size, content_type=content_type or "", key_prefix=key_prefix or "", owner=owner or ""
    )
    if status is not None:
        request.status = _convert.status_number(status)  # type: ignore[assignment]  # a number, as on the wire
    if created_after is not None:
        request.created_after.CopyFrom(_convert.timestamp(created_after))
    if created_before is not None:
        request.created_before.CopyFrom(_convert.timestamp(created_before))
    return request


def update_status(
    document_id: str, status: ProcessingStatus, error_message: str, request_id: str | None
) -> documents.UpdateProcessingStatusRequest:
    """With an idempotency key of its own where none is given, so that it can be sent again."""
    request = documents.UpdateProcessingStatusRequest(
        document_id=document_id, error_message=error_message, request_id=request_id or str(uuid.uuid4())
    )
    request.status = _convert.status_number(status)  # type: ignore[assignment]  # a number, as on the wire
    return request


def record_event(
    document_id: str, type: str, detail: Mapping[str, str] | None, request_id: str | None
) -> documents.RecordEventRequest:
    """With an idempotency key of its own where none is given, so that it can be sent again."""
    return documents.RecordEventRequest(
        document_id=document_id, type=type, detail=dict(detail or {}), request_id=request_id or str(uuid.uuid4())
    )


def list_events(document_id: str | None, upload_id: str | None, page_size: int) -> documents.ListEventsRequest:
    """The first page of the audit trail."""
    return documents.ListEventsRequest(document_id=document_id or "", upload_id=upload_id or "", page_size=page_size)
