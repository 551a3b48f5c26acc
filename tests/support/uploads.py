"""What the suites of the ledger and of the documents begin with: callers, sessions, published documents."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

from ledgerlift_server.adapters.sql.ids import new_id
from ledgerlift_server.domain.ledger_port import UploadLedger
from ledgerlift_server.domain.models import Caller
from ledgerlift_server.domain.upload_models import (
    CommitPlan,
    NewSession,
    Published,
    Receipt,
    StoredPart,
    UploadSession,
    UploadSpec,
)

PART_SIZE = 64
DAY = 86_400.0

_calls = itertools.count(1)


def caller(subject: str = "alice") -> Caller:
    """A caller with a request id of its own."""
    return Caller(subject, frozenset({"ROLE_WRITER"}), f"call-{next(_calls)}")


def spec(**declared: Any) -> UploadSpec:
    """A spec of a small text, but for what is given."""
    return UploadSpec(**({"filename": "notes.txt", "content_type": "text/plain"} | declared))


def new_session(owner: str = "alice", *, lifetime: float = DAY, epoch: int = 1, **declared: Any) -> NewSession:
    """A session to open, with an object name of its own."""
    upload_id = new_id()
    return NewSession(upload_id, owner, spec(**declared), PART_SIZE, f"objects/{upload_id}", lifetime, epoch)


def digest(data: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def parts(first: int, count: int, size: int = PART_SIZE) -> list[StoredPart]:
    """Parts as a store acknowledges them, numbered from `first`."""
    return [
        StoredPart(number, size, f"etag-{number}", 0xFFFF_FF00 + number) for number in range(first, first + count)
    ]


def single_put(session: UploadSession, data: bytes) -> CommitPlan:
    """The plan of a document that one PutObject of the session's holder has stored."""
    sha256 = digest(data)
    return CommitPlan(
        size=len(data),
        sha256=sha256,
        object_name=session.put_name(session.epoch),
        single_put=True,
        tail=(),
        receipt=Receipt(len(data), 0, 1, sha256),
        declared_sha256=None,
    )


async def open_session(ledger: UploadLedger, owner: str = "alice", **more: Any) -> UploadSession:
    """A new session."""
    return (await ledger.open(new_session(owner, **more), caller(owner))).session


async def committing_session(
    ledger: UploadLedger, data: bytes, owner: str = "alice", **declared: Any
) -> UploadSession:
    """A session whose bytes are stored and that only waits to be published."""
    session = await open_session(ledger, owner, **declared)
    await ledger.begin_commit(session.upload_id, session.epoch, 0, single_put(session, data))
    return await ledger.get(owner, session.upload_id)


async def publish(ledger: UploadLedger, data: bytes, owner: str = "alice", **declared: Any) -> Published:
    """A session through its whole life, to whatever comes of it."""
    session = await committing_session(ledger, data, owner, **declared)
    return await ledger.publish(session.upload_id, digest(data))
