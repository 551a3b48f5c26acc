"""Between rows and models."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from ledgerlift_server.domain.models import Document, ProcessingStatus
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    DuplicatePolicy,
    NewSession,
    Receipt,
    StoredPart,
    UploadSession,
    UploadSpec,
    UploadState,
)


def session_from(row: RowMapping) -> UploadSession:
    """The session of a whole row of `sessions`."""
    state = UploadState(row["state"])
    return UploadSession(
        upload_id=row["upload_id"],
        owner=row["owner"],
        spec=UploadSpec(
            filename=row["filename"],
            content_type=row["content_type"],
            size=row["declared_size"],
            sha256=row["declared_sha256"],
            key=row["key"],
            metadata=row["metadata"],
            duplicate_policy=DuplicatePolicy(row["duplicate_policy"]),
            request_id=row["request_id"],
        ),
        state=state,
        epoch=row["epoch"],
        part_size=row["part_size"],
        persisted_size=row["persisted_size"],
        part_count=row["part_count"],
        sha_state=None if row["sha_state"] is None else bytes(row["sha_state"]),
        object_name=row["object_name"],
        multipart_id=row["multipart_id"],
        create_time=row["create_time"],
        update_time=row["update_time"],
        expire_time=row["expire_time"],
        final_size=row["final_size"],
        final_sha256=row["final_sha256"],
        final_object=row["final_object"],
        # A refusal names the document it was refused for (`session_rules.recorded_failure`).
        document_id=row["error_document_id"] if state is UploadState.FAILED else row["document_id"],
        duplicate=row["duplicate"],
        receipt=Receipt(
            bytes_received=row["receipt_bytes_received"],
            bytes_skipped=row["receipt_bytes_skipped"],
            part_count=row["receipt_part_count"],
            sha256=row["receipt_sha256"],
        ),
        error_reason=row["error_reason"],
        error_message=row["error_message"],
    )


def new_session_values(new: NewSession, opened_by: str) -> dict[str, Any]:
    """Columns of a session that has just been opened; state and times are for the caller to add."""
    spec = new.spec
    return {
        "upload_id": new.upload_id,
        "owner": new.owner,
        "filename": spec.filename,
        "content_type": spec.content_type,
        "declared_size": spec.size,
        "declared_sha256": spec.sha256,
        "key": spec.key,
        "metadata": dict(spec.metadata),
        "duplicate_policy": spec.duplicate_policy.value,
        "request_id": spec.request_id,
        "opened_by": opened_by,
        "epoch": new.epoch,
        "part_size": new.part_size,
        "persisted_size": 0,
        "part_count": 0,
        "object_name": new.object_name,
        "lifetime": new.lifetime,
        "duplicate": False,
        "error_message": "",
        **receipt_values(Receipt()),
    }


def receipt_values(receipt: Receipt) -> dict[str, Any]:
    """Columns of a receipt."""
    return {
        "receipt_bytes_received": receipt.bytes_received,
        "receipt_bytes_skipped": receipt.bytes_skipped,
        "receipt_part_count": receipt.part_count,
        "receipt_sha256": receipt.sha256,
    }


def plan_values(plan: CommitPlan) -> dict[str, Any]:
    """Columns of a session that its commit decides."""
    declared = {} if plan.declared_sha256 is None else {"declared_sha256": plan.declared_sha256}
    return {
        "final_size": plan.size,
        "final_sha256": plan.sha256,
        "final_object": plan.object_name,
        **receipt_values(plan.receipt),
        **declared,
    }


def part_from(row: RowMapping) -> StoredPart:
    """The part of a row of `parts`."""
    return StoredPart(number=row["number"], size=row["size"], etag=row["etag"], crc32c=row["crc32c"])


def part_values(upload_id: str, part: StoredPart) -> dict[str, Any]:
    """Columns of a part."""
    return {
        "upload_id": upload_id,
        "number": part.number,
        "size": part.size,
        "etag": part.etag,
        "crc32c": part.crc32c,
    }


def document_from(row: RowMapping) -> Document:
    """The document of a whole row of `documents`."""
    return Document(
        document_id=row["document_id"],
        owner=row["owner"],
        filename=row["filename"],
        content_type=row["content_type"],
        size=row["size"],
        sha256=row["sha256"],
        key=row["key"],
        metadata=row["metadata"],
        status=ProcessingStatus(row["status"]),
        error_message=row["error_message"],
        object_name=row["object_name"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def document_values(spec: UploadSpec, owner: str) -> dict[str, Any]:
    """Columns of a new document that come from what its uploader said."""
    return {
        "owner": owner,
        "filename": spec.filename,
        "content_type": spec.content_type,
        "key": spec.key,
        "metadata": dict(spec.metadata),
        "status": ProcessingStatus.UPLOADED.value,
        "error_message": "",
    }
