"""What the upload protocol promises of one session, in a few lines: the model of `tests/rpc/test_protocol.py`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.support.raw_uploads import content

PART = 256
"""Bytes of a stored part."""
LONGEST = 64 * PART
"""Bytes of which a session's document is a beginning."""

DEAD = {
    "CANCELLED": "FAILED_PRECONDITION/UPLOAD_CANCELLED",
    "EXPIRED": "FAILED_PRECONDITION/UPLOAD_EXPIRED",
    "FAILED": "INVALID_ARGUMENT/CHECKSUM_MISMATCH",
}
"""How a stream is refused, by the state that its session ended in. A failure is answered as it was the first time."""


def digest(data: bytes) -> str:
    """Lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class Upload:
    """A session. Between `low` and `high` bytes are durable: how many of a broken stream's parts, nobody can say."""

    number: int
    upload_id: str
    request_id: str
    size: int | None
    sha256: str | None
    state: str = "ACTIVE"
    low: int = 0
    high: int = 0
    document_id: str | None = None
    deleted: bool = False
    bytes: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        self.bytes = content(self.number, LONGEST)

    def seen(self, persisted: int) -> None:
        """The server has told how much is durable: never less than before, never more than was sent, whole parts."""
        assert self.low <= persisted <= self.high, f"{persisted} durable, not {self.low} to {self.high}"
        assert persisted % PART == 0, f"{persisted} is no whole number of parts"
        self.low = persisted

    def taken(self, persisted: int) -> None:
        """A stream has the session: what older ones had on their way does not count any more."""
        self.seen(persisted)
        self.high = persisted

    def sent(self, end: int) -> None:
        """So far the document may be durable, in whole parts."""
        self.high = max(self.high, end // PART * PART)

    def finished(self, end: int, wrong: str) -> str:
        """What becomes of `finish_write` behind `end` bytes with `wrong` said of them; OK: a document."""
        if wrong == "size" or end < self.low or self.size not in (None, end):
            return "INVALID_ARGUMENT/SIZE_MISMATCH"
        if wrong == "digest" or self.sha256 not in (None, digest(self.bytes[:end])):
            self.state = "FAILED"
            return "INVALID_ARGUMENT/CHECKSUM_MISMATCH"
        self.state = "COMMITTED"
        return "OK"
