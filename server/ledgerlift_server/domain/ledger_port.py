"""The upload ledger as the domain sees it. Each method is one database transaction.

Rules that every implementation keeps (DESIGN section 4):

* Every query that takes `owner` sees that owner's rows only; another owner's id is not found.
* A write of a stream's holder names its fencing `epoch` and begins with a compare-and-set on
  `(id, epoch, state = ACTIVE, persisted_size)`. When that matches no row: the session is read again and
  `UploadSuperseded` is raised for a higher epoch, else the error of its state (see
  `session_rules.refusal`).
* Times are the database's clock. `persisted_size` never decreases.
* A transition to a final state writes its event (audit trail) and the removals of
  `session_rules.leftovers` (outbox) in the same transaction.
* Waiting for a row's lock is bounded; a lock left by a dead connection is nobody's prison.

Every method raises `errors.DependencyUnavailable`, `errors.CircuitOpen`, `errors.Overloaded` or
`errors.DeadlineExceeded` when the database cannot be asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ledgerlift_server.domain.models import Caller, Document, Page
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    NewSession,
    Published,
    Removal,
    SessionPulse,
    StoredPart,
    UploadFilter,
    UploadSession,
)
from ledgerlift_server.errors import LedgerLiftError


@dataclass(frozen=True, slots=True)
class Opened:
    """What `open` found or made. `document` is set when the session is COMMITTED and the document still exists."""

    session: UploadSession
    created: bool
    document: Document | None


class UploadLedger(Protocol):
    """Sessions, their parts, and the one way from bytes to a document."""

    async def open(self, new: NewSession, caller: Caller) -> Opened:
        """Find the live session (ACTIVE, COMMITTING, COMMITTED) of `new.spec.request_id`, or make `new`.

        Found: returned as it is, with `created=False`; comparing the specs is the caller's business
        (`session_rules.check_same_request`). Not found: `duplicates.resolve_upfront` is asked with the
        documents that hold the key and the digest, under the blob's lock; its verdict makes the
        session ACTIVE, or COMMITTED at once (with the existing document, or with a new document on the
        existing object and its event), or raises `KeyTaken`/`DuplicateDocument` and makes nothing.
        Two concurrent calls with one request id end with one session.
        """

    async def get(self, owner: str, upload_id: str) -> UploadSession:
        """The session. Raises UploadNotFound."""

    async def get_with_document(self, owner: str, upload_id: str) -> tuple[UploadSession, Document | None]:
        """The session, and its document when it is COMMITTED and not deleted since. Raises UploadNotFound."""

    async def take(self, owner: str, upload_id: str) -> UploadSession:
        """Take an ACTIVE session over: `epoch` + 1, `expire_time` renewed; the new row is returned.

        A session in any other state is returned unchanged. Raises UploadNotFound.
        """

    async def attach_multipart(self, upload_id: str, epoch: int, multipart_id: str) -> str:
        """Record the store's id of the multipart upload, if none is recorded yet; return the recorded one.

        Compare-and-set on epoch and state; raises as the module says.
        """

    async def record_parts(
        self,
        upload_id: str,
        epoch: int,
        persisted_size: int,
        parts: Sequence[StoredPart],
        sha_state: bytes | None,
    ) -> None:
        """Add `parts` (contiguous, following `persisted_size`) and move the durable prefix over them.

        `persisted_size` is the size before. `sha_state` is the state after. Renews `expire_time`.
        """

    async def parts(self, upload_id: str) -> Sequence[StoredPart]:
        """The recorded parts in order."""

    async def begin_commit(self, upload_id: str, epoch: int, persisted_size: int, plan: CommitPlan) -> None:
        """ACTIVE to COMMITTING, with `plan` and its tail of parts, in one compare-and-set transaction.

        `plan.declared_sha256`, when given, becomes the digest that the session's spec declares.
        """

    async def commit_put(self, upload_id: str, epoch: int, plan: CommitPlan) -> Published:
        """ACTIVE to COMMITTED in ONE transaction, of a document that one PutObject has stored whole.

        `begin_commit` from nothing durable and `publish` at once: the compare-and-set of the one, the decisions
        and the outcome of the other. `plan.sha256` is known.
        """

    async def publish(self, upload_id: str, sha256: str) -> Published:
        """COMMITTING to COMMITTED: document, event and session in ONE transaction. Idempotent.

        Under the lock of the blob row `(owner, sha256)`: `duplicates.resolve` decides. A document of its
        own on this session's object (new blob, count 1), a new one on the existing blob (count + 1, this
        session's object to the outbox), or the existing one (`duplicate`, object to the outbox). A
        refusal (`KeyTaken`, `DuplicateDocument`) makes the session FAILED with that reason, object to the
        outbox, commits, and is raised. An already COMMITTED session answers the same result again.
        Raises the error of the state (`session_rules.refusal`) in any other state. When the document of a
        COMMITTED session has been deleted since: DocumentNotFound.
        """

    async def fail(self, upload_id: str, error: LedgerLiftError, *, epoch: int | None) -> UploadSession:
        """To FAILED, with `error.reason`, message and resource. A final session is returned unchanged.

        From ACTIVE with the holder's `epoch` (compare-and-set), or from COMMITTING with `epoch=None`.
        """

    async def cancel(self, caller: Caller, upload_id: str) -> UploadSession:
        """ACTIVE to CANCELLED (and `epoch` + 1, so that a running stream is fenced off).

        A CANCELLED session is returned as it is. COMMITTING and COMMITTED raise
        UploadAlreadyCommitted; FAILED and EXPIRED are returned as they are. Raises UploadNotFound.
        """

    async def list(self, owner: str, where: UploadFilter, *, page_size: int, page_token: str) -> Page[UploadSession]:
        """One page, newest first. Raises InvalidRequest for a token that is not of this list."""

    async def pulse(self, upload_ids: Collection[str]) -> Mapping[str, SessionPulse]:
        """Epoch, state and durable size of many sessions in one query; unknown ids are left out."""


class Maintenance(Protocol):
    """What the janitor needs of the ledger. Not scoped by owner."""

    async def acquire_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew the lease for `seconds` (database clock). False while another holder's lasts."""

    async def release_lease(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still the holder's."""

    async def lease_holder(self, name: str) -> tuple[str, datetime] | None:
        """Who holds it, and until when; None where nobody does."""

    async def committing(self, *, idle: float, limit: int) -> Sequence[UploadSession]:
        """Sessions COMMITTING and unchanged for at least `idle` seconds, oldest first."""

    async def expire_due(self, *, limit: int) -> int:
        """ACTIVE sessions past their `expire_time` to EXPIRED, at most `limit`; how many."""

    async def due_removals(self, *, limit: int) -> Sequence[Removal]:
        """Entries of the outbox whose time has come, oldest first."""

    async def count_removals(self, *, limit: int) -> int:
        """Removals that wait, due or not; counted up to `limit`."""

    async def removal_done(self, removal_id: int) -> None:
        """Forget the entry."""

    async def removal_failed(self, removal_id: int, *, retry_after: float) -> None:
        """Count the attempt; the entry is due again after `retry_after` seconds."""

    async def queue_removal(self, object_name: str, multipart_id: str | None) -> None:
        """Add an entry to the outbox (for what the drift pass finds)."""

    async def known_objects(self, names: Collection[str]) -> Collection[str]:
        """Of `names`, those that a blob, an ACTIVE/COMMITTING session, or an outbox entry stands for.

        An ACTIVE session stands for its `object_name` and for every `put_name(epoch)` of its epochs.
        """

    async def known_multiparts(self, ids: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        """Of `(object_name, multipart_id)`, those that an ACTIVE/COMMITTING session or the outbox stands for.

        An ACTIVE session without a recorded multipart stands for any multipart of its `object_name`.
        """

    async def blob_objects(self, *, after: str | None, limit: int) -> Sequence[tuple[str, int]]:
        """`(object_name, size)` of blobs in order of object name, for the drift report."""

    async def documents_on(self, object_name: str, *, limit: int) -> tuple[str, Sequence[str]] | None:
        """The owner of that object, and ids of documents that are on it, oldest first; None where there are none."""

    async def forget_ended(self, *, older_than: float, limit: int) -> int:
        """Remove final sessions and their parts unchanged for `older_than` seconds; how many."""
