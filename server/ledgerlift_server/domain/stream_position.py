"""Where one stream stands in its document: which messages fit, and what of them is new (DESIGN section 4 rule 2)."""

from __future__ import annotations

from typing import Protocol

from ledgerlift_server.domain.digest_port import Crc32c
from ledgerlift_server.domain.upload_message import UploadMessage
from ledgerlift_server.domain.upload_models import UploadSession
from ledgerlift_server.domain.validation import Violations
from ledgerlift_server.errors import ChecksumMismatch, DocumentTooLarge, OffsetGap, SizeMismatch


class Facts(Protocol):
    """What an error about the stream tells its client."""

    def __call__(self, **more: object) -> dict[str, str]:
        """Session and durable size, and `more`."""


class StreamPosition:
    """The position behind the last message that was taken. Changes only by messages that are right."""

    def __init__(
        self, session: UploadSession, *, begins_at: int, crc32c: Crc32c, max_size: int, facts: Facts
    ) -> None:
        """`begins_at` is the first byte of a stream that says nothing of offsets; `max_size` is in bytes."""
        self._session = session
        self._crc32c = crc32c
        self._max_size = max_size
        self._facts = facts
        self._named = False
        self._has_data = False
        self.end = begins_at
        self.received = 0
        self.skipped = 0

    def advance(self, message: UploadMessage) -> memoryview:
        """Hold `message` against all rules, move behind it, and return what of its data is not durable yet.

        Raises InvalidRequest, ChecksumMismatch, OffsetGap, SizeMismatch, DocumentTooLarge.
        """
        self._check_fields(message)
        self._named = True
        self.received += len(message.data)
        self._check_crc(message)
        begin = self._begin(message)
        end = begin + len(message.data)
        self._check_bounds(end)
        skip = min(len(message.data), max(0, self._session.persisted_size - begin))
        self.skipped += skip
        self.end = end
        self._has_data = self._has_data or bool(message.data)
        return message.data[skip:]

    def finish(self, message: UploadMessage) -> frozenset[str]:
        """Hold the document's end against its declared sizes; the digests that were declared for it.

        `message` has been taken in by `advance`. Raises SizeMismatch.
        """
        sizes = {size for size in (self._session.spec.size, message.size) if size is not None}
        durable = self._session.persisted_size
        if sizes - {self.end} or self.end < durable:
            declared = ", ".join(map(str, sorted(sizes))) or "none"
            raise SizeMismatch(
                f"the document ends after {self.end} bytes; declared: {declared}; durable: {durable}",
                metadata=self._facts(received_size=self.end),
            )
        return frozenset(digest for digest in (self._session.spec.sha256, message.sha256) if digest is not None)

    def _check_fields(self, message: UploadMessage) -> None:
        found = Violations()
        first_or_unnamed = not self._named or message.target is None
        found.require(first_or_unnamed, "target", "only the first message of a stream names a session")
        found.require(message.offset is None or message.offset >= 0, "write_offset", "must be 0 or more")
        if message.size is not None:
            found.require(message.finish, "size", "is only for the message with `finish_write`")
            found.require(message.size >= 0, "size", "must be 0 or more")
        if message.sha256 is not None:
            found.require(message.finish, "sha256", "is only for the message with `finish_write`")
            found.sha256("sha256", message.sha256)
        found.raise_if_any()

    def _check_crc(self, message: UploadMessage) -> None:
        if message.crc32c is None:
            return
        computed = self._crc32c(message.data)
        if computed != message.crc32c:
            raise ChecksumMismatch(
                f"the CRC-32C of {len(message.data)} bytes at offset {self.end} is {computed:#010x}, "
                f"declared was {message.crc32c:#010x}",
                metadata=self._facts(offset=self.end),
            )

    def _begin(self, message: UploadMessage) -> int:
        """Where the message's data begins: behind the one before, or, for the first data, where it says."""
        if message.offset is None:
            return self.end
        durable = self._session.persisted_size
        if message.offset == self.end if self._has_data else message.offset <= durable:
            return message.offset
        expected = self.end if self._has_data else durable
        raise OffsetGap(
            f"the message begins at {message.offset}, expected was {expected}",
            metadata=self._facts(expected_offset=expected),
        )

    def _check_bounds(self, end: int) -> None:
        declared = self._session.spec.size
        if declared is not None and end > declared:
            raise SizeMismatch(
                f"{end} bytes were sent, declared were {declared}", metadata=self._facts(declared_size=declared)
            )
        if end > self._max_size:
            raise DocumentTooLarge(
                f"the document is larger than {self._max_size} bytes", metadata=self._facts(limit=self._max_size)
            )
