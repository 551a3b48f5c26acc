"""Between messages and models, nothing else. Unset on the wire is None in the domain."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp
from ledgerlift.v1 import document_pb2, document_service_pb2, upload_service_pb2

from ledgerlift_server.domain import models
from ledgerlift_server.domain.upload_models import (
    DuplicatePolicy,
    Receipt,
    UploadSession,
    UploadSpec,
    UploadState,
)
from ledgerlift_server.domain.upload_options import UploadOptions
from ledgerlift_server.domain.validation import Violations

E = TypeVar("E", bound=StrEnum)


def timestamp(moment: datetime) -> Timestamp:
    """An aware datetime on the wire."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Timestamp, found: Violations, field: str) -> datetime | None:
    """A timestamp as an aware UTC datetime; out of its range is a violation."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        found.add(field, "must be a time from year 1 to 9999")
        return None


def enum_member(
    kind: type[E], wrapper: EnumTypeWrapper, prefix: str, number: int, found: Violations, field: str
) -> E | None:
    """The domain's member for a number on the wire; `_UNSPECIFIED` is None, an unknown number a violation."""
    if number == 0:
        return None
    if number not in wrapper.values():
        found.add(field, f"{number} is not a value of {wrapper.DESCRIPTOR.name}")
        return None
    return kind(wrapper.Name(number).removeprefix(f"{prefix}_"))


def status_member(number: int, found: Violations, field: str) -> models.ProcessingStatus | None:
    """A ProcessingStatus from the wire."""
    return enum_member(
        models.ProcessingStatus, document_pb2.ProcessingStatus, "PROCESSING_STATUS", number, found, field
    )


def status_name(status: models.ProcessingStatus | None) -> str:
    """A ProcessingStatus for the wire, where a value may be given by its name."""
    return f"PROCESSING_STATUS_{status.value if status else 'UNSPECIFIED'}"


def upload_spec(message: upload_service_pb2.UploadSpec, found: Violations) -> UploadSpec:
    """A spec as it came; `validation.validate_spec` holds it against the bounds."""
    policy = enum_member(
        DuplicatePolicy,
        upload_service_pb2.DuplicatePolicy,
        "DUPLICATE_POLICY",
        message.duplicate_policy,
        found,
        "spec.duplicate_policy",
    )
    return UploadSpec(
        filename=message.filename,
        content_type=message.content_type,
        size=message.size if message.HasField("size") else None,
        sha256=message.sha256 or None,
        key=message.key or None,
        metadata=dict(message.metadata),
        duplicate_policy=policy or DuplicatePolicy.RETURN_EXISTING,
        request_id=message.request_id or None,
    )


def spec_message(spec: UploadSpec) -> upload_service_pb2.UploadSpec:
    """A spec for the wire."""
    return upload_service_pb2.UploadSpec(
        filename=spec.filename,
        content_type=spec.content_type,
        size=spec.size,
        sha256=spec.sha256 or "",
        key=spec.key or "",
        metadata=dict(spec.metadata),
        duplicate_policy=f"DUPLICATE_POLICY_{spec.duplicate_policy}",
        request_id=spec.request_id or "",
    )


def upload_message(session: UploadSession, options: UploadOptions) -> upload_service_pb2.Upload:
    """A session for the wire."""
    return upload_service_pb2.Upload(
        upload_id=session.upload_id,
        state=f"UPLOAD_STATE_{session.state}",
        spec=spec_message(session.spec),
        persisted_size=session.persisted_size,
        part_size=session.part_size,
        segment_size=options.segment_size_for(session.part_size),
        document_id=(session.document_id or "") if session.state is UploadState.COMMITTED else "",
        create_time=timestamp(session.create_time),
        update_time=timestamp(session.update_time),
        expire_time=timestamp(session.expire_time),
        error_message=session.error_message,
    )


def receipt_message(receipt: Receipt) -> upload_service_pb2.UploadReceipt:
    """A receipt for the wire."""
    return upload_service_pb2.UploadReceipt(
        bytes_received=receipt.bytes_received,
        bytes_skipped=receipt.bytes_skipped,
        part_count=receipt.part_count,
        sha256=receipt.sha256,
    )


def document_message(document: models.Document) -> document_pb2.Document:
    """A document for the wire."""
    return document_pb2.Document(
        document_id=document.document_id,
        filename=document.filename,
        content_type=document.content_type,
        size=document.size,
        sha256=document.sha256,
        key=document.key or "",
        owner=document.owner,
        metadata=dict(document.metadata),
        status=status_name(document.status),
        error_message=document.error_message,
        create_time=timestamp(document.create_time),
        update_time=timestamp(document.update_time),
    )


def event_message(event: models.Event) -> document_pb2.Event:
    """An entry of the audit trail for the wire."""
    return document_pb2.Event(
        event_id=event.event_id,
        document_id=event.document_id or "",
        upload_id=event.upload_id or "",
        type=event.type,
        actor=event.actor,
        request_id=event.request_id,
        from_status=status_name(event.from_status),
        to_status=status_name(event.to_status),
        detail=dict(event.detail),
        create_time=timestamp(event.create_time),
        cursor=event.cursor,
    )


def stats_message(stats: models.DocumentStats) -> document_service_pb2.DocumentStats:
    """Counts for the wire."""
    return document_service_pb2.DocumentStats(
        document_count=stats.total.documents,
        total_size=stats.total.total_size,
        object_count=stats.objects,
        stored_size=stats.stored_size,
        by_status=_status_counts(stats),
        by_content_type=[
            document_service_pb2.ContentTypeCount(
                content_type=name, document_count=count.documents, total_size=count.total_size
            )
            for name, count in stats.by_content_type
        ],
    )


def _status_counts(stats: models.DocumentStats) -> Iterable[document_service_pb2.StatusCount]:
    for status, count in stats.by_status.items():
        yield document_service_pb2.StatusCount(
            status=status_name(status),
            document_count=count.documents,
            total_size=count.total_size,
        )
