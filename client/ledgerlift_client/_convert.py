"""Between protobuf messages and the client's dataclasses. What only a newer server knows becomes UNKNOWN."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.timestamp_pb2 import Timestamp
from ledgerlift.v1 import document_pb2, document_service_pb2, upload_service_pb2

from ledgerlift_client._models import (
    Count,
    Document,
    DocumentStats,
    DuplicatePolicy,
    Event,
    ExistingDigest,
    Limits,
    ProcessingStatus,
    Receipt,
    StopReason,
    Upload,
    UploadAnswer,
    UploadSpec,
    UploadState,
)

_E = TypeVar("_E", bound=StrEnum)
_S = TypeVar("_S", ProcessingStatus, UploadState, StopReason)


def _read(kind: type[_S], wrapper: EnumTypeWrapper, prefix: str, value: int) -> _S:
    """The member of `kind` for the wire's `value`."""
    try:
        return kind(wrapper.Name(value).removeprefix(prefix))
    except ValueError:
        return kind("UNKNOWN")


def _write(wrapper: EnumTypeWrapper, prefix: str, value: _E) -> int:
    """The wire's number of a member; ValueError for one that cannot be sent (UNKNOWN)."""
    return int(wrapper.Value(prefix + value.value))


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def timestamp(when: datetime) -> Timestamp:
    """`when` for the wire. ValueError without a time zone: whose noon it is must not be guessed."""
    if when.tzinfo is None:
        raise ValueError(f"{when!r} has no time zone")
    stamp = Timestamp()
    stamp.FromDatetime(when.astimezone(UTC))
    return stamp


def status_number(status: ProcessingStatus) -> int:
    """The wire's number of `status`."""
    return _write(document_pb2.ProcessingStatus, "PROCESSING_STATUS_", status)


def state_number(state: UploadState) -> int:
    """The wire's number of `state`."""
    return _write(upload_service_pb2.UploadState, "UPLOAD_STATE_", state)


def _status(value: int) -> ProcessingStatus:
    return _read(ProcessingStatus, document_pb2.ProcessingStatus, "PROCESSING_STATUS_", value)


def document(message: document_pb2.Document) -> Document:
    """A document."""
    return Document(
        document_id=message.document_id,
        filename=message.filename,
        content_type=message.content_type,
        size=message.size,
        sha256=message.sha256,
        key=message.key,
        owner=message.owner,
        metadata=dict(message.metadata),
        status=_status(message.status),
        error_message=message.error_message,
        create_time=_time(message.create_time),
        update_time=_time(message.update_time),
    )


def spec_message(spec: UploadSpec) -> upload_service_pb2.UploadSpec:
    """A spec for the wire."""
    return upload_service_pb2.UploadSpec(
        filename=spec.filename,
        content_type=spec.content_type,
        size=spec.size,
        sha256=spec.sha256,
        key=spec.key,
        metadata=dict(spec.metadata),
        duplicate_policy=_write(  # type: ignore[arg-type]  # the stub wants the enum, the wire takes its number
            upload_service_pb2.DuplicatePolicy, "DUPLICATE_POLICY_", spec.duplicate_policy
        ),
        request_id=spec.request_id,
    )


def upload(message: upload_service_pb2.Upload) -> Upload:
    """An upload session."""
    spec = message.spec
    policy = upload_service_pb2.DuplicatePolicy.Name(spec.duplicate_policy).removeprefix("DUPLICATE_POLICY_")
    return Upload(
        upload_id=message.upload_id,
        state=_read(UploadState, upload_service_pb2.UploadState, "UPLOAD_STATE_", message.state),
        spec=UploadSpec(
            filename=spec.filename,
            content_type=spec.content_type,
            size=spec.size if spec.HasField("size") else None,
            sha256=spec.sha256,
            key=spec.key,
            metadata=dict(spec.metadata),
            duplicate_policy=(
                DuplicatePolicy.RETURN_EXISTING if policy == "UNSPECIFIED" else DuplicatePolicy(policy)
            ),
            request_id=spec.request_id,
        ),
        persisted_size=message.persisted_size,
        part_size=message.part_size,
        segment_size=message.segment_size,
        document_id=message.document_id,
        create_time=_time(message.create_time),
        update_time=_time(message.update_time),
        expire_time=_time(message.expire_time),
        error_message=message.error_message,
    )


def answer(message: upload_service_pb2.UploadResponse) -> UploadAnswer:
    """What one Upload call came to."""
    received = message.receipt
    unspecified = upload_service_pb2.STOP_REASON_UNSPECIFIED
    return UploadAnswer(
        document=document(message.document) if message.HasField("document") else None,
        upload=upload(message.upload) if message.HasField("upload") else None,
        stop_reason=(
            StopReason.NONE
            if message.stop_reason == unspecified
            else _read(StopReason, upload_service_pb2.StopReason, "STOP_REASON_", message.stop_reason)
        ),
        duplicate=message.duplicate,
        receipt=Receipt(received.bytes_received, received.bytes_skipped, received.part_count, received.sha256),
    )


def event(message: document_pb2.Event) -> Event:
    """An entry of the audit trail."""

    def status(value: int) -> ProcessingStatus | None:
        return None if value == document_pb2.PROCESSING_STATUS_UNSPECIFIED else _status(value)

    return Event(
        event_id=message.event_id,
        document_id=message.document_id,
        upload_id=message.upload_id,
        type=message.type,
        actor=message.actor,
        request_id=message.request_id,
        from_status=status(message.from_status),
        to_status=status(message.to_status),
        detail=dict(message.detail),
        create_time=_time(message.create_time),
        cursor=message.cursor,
    )


def stats(message: document_service_pb2.DocumentStats) -> DocumentStats:
    """Counts."""
    return DocumentStats(
        total=Count(message.document_count, message.total_size),
        objects=message.object_count,
        stored_size=message.stored_size,
        by_status={_status(c.status): Count(c.document_count, c.total_size) for c in message.by_status},
        by_content_type={c.content_type: Count(c.document_count, c.total_size) for c in message.by_content_type},
    )


def existing(message: upload_service_pb2.ExistingDigest) -> ExistingDigest:
    """A digest that is there already."""
    return ExistingDigest(message.sha256, message.document_id, message.size)


def limits(message: upload_service_pb2.Limits) -> Limits:
    """The server's bounds."""
    return Limits(
        max_document_size=message.max_document_size,
        max_message_size=message.max_message_size,
        segment_size=message.segment_size,
        part_size=message.part_size,
        session_lifetime=message.session_lifetime.ToTimedelta(),
        allowed_content_types=tuple(message.allowed_content_types),
        request_id_lifetime=message.request_id_lifetime.ToTimedelta(),
        max_metadata_entries=message.max_metadata_entries,
        stall_timeout=message.stall_timeout.ToTimedelta(),
    )
