"""Frozen domain objects with sensible values, of which a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ledgerlift_server.domain.models import Caller, Document, ProcessingStatus
from ledgerlift_server.domain.upload_models import UploadSession, UploadSpec, UploadState

OWNER = "alice"
UPLOAD_ID = "01900000-0000-7000-8000-000000000001"
DOCUMENT_ID = "01900000-0000-7000-8000-0000000000d1"
SHA_A, SHA_B = "a" * 64, "b" * 64
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

ROLES = frozenset({"ROLE_READER", "ROLE_WRITER", "ROLE_OPERATOR"})


def caller(subject: str = OWNER, request_id: str = "request-1") -> Caller:
    """Who asks."""
    return Caller(subject, ROLES, request_id)


def spec(**changes: Any) -> UploadSpec:
    """What an uploader says of a plain document, validated."""
    values: Mapping[str, Any] = {"filename": "report.bin", "content_type": "application/octet-stream"}
    return UploadSpec(**{**values, **changes})


def session(**changes: Any) -> UploadSession:
    """An ACTIVE session that nobody has sent anything to."""
    values: dict[str, Any] = {
        "upload_id": UPLOAD_ID,
        "owner": OWNER,
        "spec": spec(),
        "state": UploadState.ACTIVE,
        "epoch": 1,
        "part_size": 1024,
        "persisted_size": 0,
        "part_count": 0,
        "sha_state": None,
        "object_name": f"objects/01/{UPLOAD_ID}",
        "multipart_id": None,
        "create_time": NOON,
        "update_time": NOON,
        "expire_time": NOON,
    }
    return UploadSession(**{**values, **changes})


def document(**changes: Any) -> Document:
    """A stored document of 100 bytes."""
    values: dict[str, Any] = {
        "document_id": DOCUMENT_ID,
        "owner": OWNER,
        "filename": "report.bin",
        "content_type": "application/octet-stream",
        "size": 100,
        "sha256": SHA_A,
        "key": None,
        "metadata": {},
        "status": ProcessingStatus.UPLOADED,
        "error_message": "",
        "object_name": f"objects/01/{UPLOAD_ID}",
        "create_time": NOON,
        "update_time": NOON,
    }
    return Document(**{**values, **changes})
