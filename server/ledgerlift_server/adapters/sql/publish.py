"""From a session to its document: the decisions about duplicates, taken under the blob's lock.

All ways to COMMITTED are here: `open_session`, when what is declared names bytes that the owner has
already, and when the bytes have arrived, `publish_session` from COMMITTING and `commit_put` from ACTIVE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, RowMapping, Select, bindparam, insert, select, update

from ledgerlift_server.adapters.sql.blobs import Blob, add_blob, count_up, lock_blob
from ledgerlift_server.adapters.sql.events import NewEvent, append_events
from ledgerlift_server.adapters.sql.outbox import queue_removals
from ledgerlift_server.adapters.sql.rows import (
    document_from,
    document_values,
    new_session_values,
    plan_values,
    receipt_values,
    session_from,
)
from ledgerlift_server.adapters.sql.sessions import advance, advancing, end_session, find_live, lock_session
from ledgerlift_server.adapters.sql.tables import documents, sessions
from ledgerlift_server.adapters.sql.transactions import Again, Transaction
from ledgerlift_server.adapters.sql.types import now
from ledgerlift_server.domain.duplicates import Resolution, Verdict, resolve, resolve_upfront
from ledgerlift_server.domain.ledger_port import Opened
from ledgerlift_server.domain.models import Caller, Document, EventType
from ledgerlift_server.domain.session_rules import leftovers, recorded_failure, refusal
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    NewSession,
    Published,
    Receipt,
    UploadSession,
    UploadSpec,
    UploadState,
)
from ledgerlift_server.errors import Conflict, DocumentNotFound, LedgerLiftError

NewId = Callable[[], str]

_ADD_SESSION = (
    insert(sessions)
    .values(create_time=now(), update_time=now(), expire_time=now(bindparam("seconds", type_=Float(53))))
    .returning(sessions)
)
_ADD_DOCUMENT = insert(documents).values(create_time=now(), update_time=now()).returning(documents)
_COMMIT_PUT = advancing(state=UploadState.COMMITTED.value)
_COMMITTED = (
    update(sessions)
    .where(sessions.c.upload_id == bindparam("id"))
    .values(state=UploadState.COMMITTED.value, sha_state=None, update_time=now())
    .returning(sessions)
)
_OLDEST = (
    select(documents)
    .where(documents.c.owner == bindparam("of_owner"))
    .order_by(documents.c.create_time, documents.c.document_id)
    .limit(1)
)
_OF_KEY = _OLDEST.where(documents.c.key == bindparam("of_key"))
_OF_DIGEST = _OLDEST.where(documents.c.sha256 == bindparam("of_sha256"))


@dataclass(frozen=True, slots=True)
class _Holders:
    """What the owner has under the same key and of the same bytes, and the lock on those bytes."""

    key_holder: Document | None
    digest_holder: Document | None
    blob: Blob | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The document of a session, whether it was there before, and which of the session's objects it stands on."""

    document: Document
    duplicate: bool
    kept_object: str | None


def open_session(tx: Transaction, new: NewSession, caller: Caller, new_id: NewId) -> Opened:
    """`UploadLedger.open`."""
    if new.spec.request_id is not None:
        found = find_live(tx, new.owner, new.spec.request_id)
        if found is not None:
            return Opened(session_from(found), created=False, document=document_of(tx, found))
    holders = _lock_holders(tx, new.owner, new.spec, new.spec.sha256)
    resolution = resolve_upfront(new.spec, key_holder=holders.key_holder, digest_holder=holders.digest_holder)
    if resolution.verdict is Verdict.STORE:
        row = _insert_session(tx, new, caller, state=UploadState.ACTIVE.value)
        return Opened(session_from(row), created=True, document=None)
    document = _answer(tx, resolution, holders.blob, new.spec, new.upload_id, caller, new_id(), new_id)
    row = _insert_session(
        tx,
        new,
        caller,
        state=UploadState.COMMITTED.value,
        persisted_size=document.size,
        final_size=document.size,
        final_sha256=document.sha256,
        final_object=document.object_name,
        document_id=document.document_id,
        duplicate=resolution.verdict is Verdict.RETURN,
        **receipt_values(Receipt(sha256=document.sha256)),
    )
    return Opened(session_from(row), created=True, document=document)


def publish_session(tx: Transaction, upload_id: str, sha256: str, new_id: NewId) -> Published | LedgerLiftError:
    """`UploadLedger.publish`. A refusal is returned: it is to be committed, then raised."""
    row = lock_session(tx, upload_id)
    session = session_from(row)
    if session.state is UploadState.COMMITTED:
        document = document_of(tx, row)
        if document is None:
            raise DocumentNotFound(session.document_id or "")
        return Published(session, document)
    if session.state is not UploadState.COMMITTING:
        raise refusal(session)
    outcome = _outcome(tx, row, session, sha256, new_id(), new_id)
    if isinstance(outcome, LedgerLiftError):
        return outcome
    committed = tx.one(
        _COMMITTED,
        {
            "id": upload_id,
            "final_sha256": sha256,
            "receipt_sha256": sha256,
            "document_id": outcome.document.document_id,
            "duplicate": outcome.duplicate,
        },
    )
    queue_removals(tx, leftovers(session, outcome.kept_object))
    return Published(session_from(committed), outcome.document)


def commit_put(
    tx: Transaction, upload_id: str, epoch: int, plan: CommitPlan, new_id: NewId
) -> Published | LedgerLiftError:
    """`UploadLedger.commit_put`. A refusal is returned: it is to be committed, then raised.

    The session's row, which the compare-and-set locks, is written for a document of its own, as most are, and
    written once more where it comes out otherwise.
    """
    assert plan.single_put and plan.sha256 is not None
    document_id = new_id()
    row = advance(tx, _COMMIT_PUT, upload_id, epoch, 0, plan.size, document_id=document_id, **plan_values(plan))
    session = session_from(row)
    outcome = _outcome(tx, row, session, plan.sha256, document_id, new_id)
    if isinstance(outcome, LedgerLiftError):
        return outcome
    if outcome.document.document_id != document_id:
        existing = {"document_id": outcome.document.document_id, "duplicate": outcome.duplicate}
        row = tx.one(_COMMITTED, {"id": upload_id} | existing)
    queue_removals(tx, leftovers(session, outcome.kept_object))
    return Published(session_from(row), outcome.document)


def document_of(tx: Transaction, row: RowMapping) -> Document | None:
    """The document of a COMMITTED session's row; None when it was deleted since, or in any other state."""
    if row["state"] != UploadState.COMMITTED.value:
        return None
    found = tx.first(select(documents).where(documents.c.document_id == row["document_id"]))
    return None if found is None else document_from(found)


def failure_values(error: LedgerLiftError) -> dict[str, Any]:
    """What a FAILED session keeps of the error, enough for `recorded_failure` to rebuild it."""
    about_document = error.resource is not None and error.resource.type == "document"
    return {
        "error_reason": error.reason,
        "error_message": error.message,
        "error_document_id": error.resource.id if error.resource is not None and about_document else None,
    }


def _outcome(
    tx: Transaction, row: RowMapping, session: UploadSession, sha256: str, document_id: str, new_id: NewId
) -> _Outcome | LedgerLiftError:
    """What becomes of bytes that have arrived: the document, new under `document_id`, or the refusal, recorded."""
    holders = _lock_holders(tx, session.owner, session.spec, sha256)
    try:
        resolution = resolve(session.spec, sha256, key_holder=holders.key_holder, digest_holder=holders.digest_holder)
    except Conflict as conflict:
        return _refuse(tx, session, conflict, new_id)
    blob = holders.blob
    kept = None
    if resolution.verdict is Verdict.STORE:
        assert session.final_object is not None and session.final_size is not None
        kept = session.final_object
        blob = Blob(session.owner, sha256, kept, session.final_size, documents=1)
        add_blob(tx, blob)
    caller = Caller(session.owner, frozenset(), row["opened_by"])
    document = _answer(tx, resolution, blob, session.spec, session.upload_id, caller, document_id, new_id)
    return _Outcome(document, resolution.verdict is Verdict.RETURN, kept)


def _lock_holders(tx: Transaction, owner: str, spec: UploadSpec, sha256: str | None) -> _Holders:
    blob = lock_blob(tx, owner, sha256) if sha256 is not None else None
    key_holder = digest_holder = None
    if spec.key is not None:
        key_holder = _find_document(tx, _OF_KEY, {"of_owner": owner, "of_key": spec.key})
    if blob is not None:  # else there is no document of these bytes, for it would stand on a blob
        digest_holder = _find_document(tx, _OF_DIGEST, {"of_owner": owner, "of_sha256": sha256})
    if blob is None and key_holder is not None and key_holder.sha256 == sha256:
        raise Again  # it was published after we looked for its blob: now there is one to lock
    return _Holders(key_holder, digest_holder, blob)


def _find_document(tx: Transaction, statement: Select[Any], values: Mapping[str, Any]) -> Document | None:
    row = tx.first(statement, values)
    return None if row is None else document_from(row)


def _answer(
    tx: Transaction,
    resolution: Resolution,
    blob: Blob | None,
    spec: UploadSpec,
    upload_id: str,
    caller: Caller,
    document_id: str,
    new_id: NewId,
) -> Document:
    """The existing document, or a new one of `document_id` on the locked blob, with its event."""
    if resolution.verdict is Verdict.RETURN:
        assert resolution.existing is not None
        return resolution.existing
    assert blob is not None, "whoever shares or stores bytes holds the lock on them"
    if resolution.verdict is Verdict.SHARE:
        count_up(tx, blob)
    row = tx.one(
        _ADD_DOCUMENT,
        {
            "document_id": document_id,
            "size": blob.size,
            "sha256": blob.sha256,
            "object_name": blob.object_name,
            **document_values(spec, caller.subject),
        },
    )
    document = document_from(row)
    created = NewEvent(
        owner=document.owner,
        type=EventType.DOCUMENT_CREATED,
        actor=caller.subject,
        request_id=caller.request_id,
        document_id=document.document_id,
        upload_id=upload_id,
        detail={"filename": document.filename, "sha256": document.sha256, "size": str(document.size)},
    )
    append_events(tx, [created], new_id)
    return document


def _refuse(tx: Transaction, session: UploadSession, conflict: Conflict, new_id: NewId) -> LedgerLiftError:
    failed = end_session(
        tx,
        sessions.c.upload_id == session.upload_id,
        UploadState.FAILED,
        EventType.UPLOAD_FAILED,
        new_id,
        document_id=None,
        **failure_values(conflict),
    )
    assert failed is not None, "the session's row is locked"
    return recorded_failure(failed)


def _insert_session(tx: Transaction, new: NewSession, caller: Caller, **values: Any) -> RowMapping:
    """When another call with the same request id was faster, the transaction is run again and finds it."""
    return tx.one(_ADD_SESSION, new_session_values(new, caller.request_id) | {"seconds": new.lifetime} | values)
