"""The upload state machine, and what follows from a state. Pure functions.

ACTIVE ──finish_write, CAS──> COMMITTING ──publish──> COMMITTED
  │ ├─ finish_write, one object has it whole ───────> COMMITTED
  │ ├─ wrong digest, type, too large ┴─ refused ────> FAILED
  │ ├─ CancelUpload ────────────────────────────────> CANCELLED
  │ └─ lifetime over ───────────────────────────────> EXPIRED
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ledgerlift_server import errors
from ledgerlift_server.domain.upload_models import UploadSession, UploadSpec, UploadState

_RECORDED_REASONS: dict[str, type[errors.LedgerLiftError]] = {
    kind.reason: kind
    for kind in (
        errors.ChecksumMismatch,
        errors.SizeMismatch,
        errors.ContentTypeMismatch,
        errors.DocumentTooLarge,
        errors.DuplicateDocument,
        errors.KeyTaken,
        errors.StoredObjectCorrupt,
    )
}


def refusal(session: UploadSession, epoch: int | None = None) -> errors.LedgerLiftError:
    """Why a write to `session` is refused: by its state, or because `epoch` is no longer the holder's."""
    facts = {"upload_id": session.upload_id, "persisted_size": str(session.persisted_size)}
    match session.state:
        case UploadState.EXPIRED:
            return errors.UploadExpired(f"upload {session.upload_id} has expired", metadata=facts)
        case UploadState.CANCELLED:
            return errors.UploadCancelled(f"upload {session.upload_id} was cancelled", metadata=facts)
        case UploadState.FAILED:
            return recorded_failure(session)
        case UploadState.COMMITTING:
            return errors.UploadCommitting(
                f"upload {session.upload_id} is being published; ask GetUpload", metadata=facts
            )
        case UploadState.COMMITTED:
            return errors.UploadAlreadyCommitted(f"upload {session.upload_id} has been committed", metadata=facts)
        case UploadState.ACTIVE:
            held = f"; this stream held epoch {epoch}" if epoch is not None else ""
            return errors.UploadSuperseded(
                f"a newer stream holds upload {session.upload_id} (epoch {session.epoch}){held}",
                metadata=facts,
            )


def recorded_failure(session: UploadSession) -> errors.LedgerLiftError:
    """The error that made the session FAILED, rebuilt so that a replay answers the same as the first time."""
    facts = {"upload_id": session.upload_id, "cause": session.error_reason or ""}
    kind = _RECORDED_REASONS.get(session.error_reason or "")
    if kind is None:
        return errors.UploadFailed(session.error_message or "the upload failed", metadata=facts)
    resource = errors.Resource("document", session.document_id) if session.document_id else None
    return kind(session.error_message, metadata=facts, resource=resource)


def check_same_request(session: UploadSession, spec: UploadSpec) -> None:
    """Raise RequestIdReused unless `spec` describes the same upload as `session.spec`.

    Compared are filename, content type, key, metadata and policy, and what `check_same_bytes` compares.
    """
    mine, theirs = session.spec, spec
    differing = [
        name
        for name in ("filename", "content_type", "key", "duplicate_policy")
        if getattr(mine, name) != getattr(theirs, name)
    ]
    if dict(mine.metadata) != dict(theirs.metadata):
        differing.append("metadata")
    _refuse_if(differing + _other_bytes(session, spec), session, spec)


def check_same_bytes(session: UploadSession, spec: UploadSpec) -> None:
    """Raise RequestIdReused where `spec` declares another size or digest than the session has.

    The caller may learn them later, so they count only where both sides know them; the session knows them
    once all bytes have arrived, declared or not.
    """
    _refuse_if(_other_bytes(session, spec), session, spec)


def with_declared(session: UploadSession, spec: UploadSpec) -> UploadSession:
    """The session for a stream that was opened by `spec`: what only the later call declares has to hold, too."""
    size = spec.size if session.spec.size is None else session.spec.size
    return replace(session, spec=replace(session.spec, size=size, sha256=session.spec.sha256 or spec.sha256))


def _other_bytes(session: UploadSession, spec: UploadSpec) -> list[str]:
    size = session.final_size if session.spec.size is None else session.spec.size
    sha256 = session.spec.sha256 or session.final_sha256
    known = {"size": (size, spec.size), "sha256": (sha256, spec.sha256)}
    return [name for name, pair in known.items() if None not in pair and pair[0] != pair[1]]


def _refuse_if(differing: list[str], session: UploadSession, spec: UploadSpec) -> None:
    if differing:
        raise errors.RequestIdReused(
            f"request_id {spec.request_id!r} was used for another upload; differing: {', '.join(differing)}",
            metadata={"upload_id": session.upload_id, "differing": ",".join(differing)},
            resource=errors.Resource("upload", session.upload_id),
        )


def leftovers(session: UploadSession, kept_object: str | None) -> Iterable[tuple[str, str | None]]:
    """`(object_name, multipart_id)` of everything a final session may have left in the store.

    `kept_object` is the object that its document uses, None when there is none. A single PutObject is
    named for its epoch, so each epoch that this session has had may have left one; a session with a
    multipart upload is longer than one part and has none.
    """
    if session.multipart_id is not None:
        if kept_object != session.object_name:
            yield session.object_name, session.multipart_id
        return
    for epoch in range(1, session.epoch + 1):
        name = session.put_name(epoch)
        if name != kept_object:
            yield name, None
