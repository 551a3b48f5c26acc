"""The named steps at which a process may be gone, with everything before them durable and nothing after them begun.

A running server does nothing there. A crash test kills the process at each one of them, on every kind of store and
database (`tests/faults/crash_points.py`): what is left has to be cleaned up or carried on by whoever comes next.
Inside of the file store there are no names: its tests kill it before every single system call.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """What has just become durable."""

    # An upload, until its commit is decided.
    SESSION_OPENED = "session_opened"
    """A session row; its caller has not heard of it."""
    MULTIPART_CREATED = "multipart_created"
    """A multipart upload that no row names."""
    MULTIPART_ATTACHED = "multipart_attached"
    """The session's row names its multipart upload; no part is stored."""
    PART_STORED = "part_stored"
    """A part that the ledger does not know."""
    PARTS_RECORDED = "parts_recorded"
    """The ledger has one or more parts; nobody was told."""
    SEALED = "sealed"
    """All bytes are durable, and nothing is decided yet."""

    # A commit. From here on it only goes forward.
    COMMITTING = "committing"
    """The session is COMMITTING."""
    BEFORE_COMPLETE = "before_complete"
    """The parts are read from the ledger; a multipart upload is about to be completed."""
    COMPLETED = "completed"
    """The object is visible; no document names it."""
    PUBLISHED = "published"
    """Document, event and COMMITTED; nobody was told."""

    # Other ends.
    UPLOAD_CANCELLED = "upload_cancelled"
    """CANCELLED; what it left is in the outbox."""
    UPLOAD_FAILED = "upload_failed"
    """FAILED before a commit; what it left is in the outbox."""
    DOCUMENT_DELETED = "document_deleted"
    """The document's row is gone; its object is in the outbox, if nobody shares it."""

    # The janitor.
    LEASE_TAKEN = "lease_taken"
    """This replica is the janitor, and has done nothing yet."""
    COMMIT_DRIVEN = "commit_driven"
    """A commit that nobody drove has come to its end."""
    SESSIONS_EXPIRED = "sessions_expired"
    """EXPIRED; what they left is in the outbox."""
    SESSIONS_FORGOTTEN = "sessions_forgotten"
    """Rows of ended sessions, and of their parts, are gone."""
    MULTIPART_ABORTED = "multipart_aborted"
    """Of a removal, the multipart upload is gone."""
    OBJECT_REMOVED = "object_removed"
    """Of a removal, all is gone but its entry in the outbox."""
    REMOVAL_DONE = "removal_done"
    """A removal's entry is gone, too."""
    ORPHAN_ABORTED = "orphan_aborted"
    """A multipart upload that only the store knew of is gone."""
    ORPHAN_QUEUED = "orphan_queued"
    """An object that only the store knew of is in the outbox."""


Checkpoint = Callable[[Step], None]
"""Is told each step as it is reached."""


def no_checkpoint(step: Step) -> None:
    """What a running server does at a step: nothing."""
