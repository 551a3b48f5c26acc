"""What a download has received, whether it is right, and where to go on after a break. Does no I/O."""

from __future__ import annotations

import hashlib

from crc32c import crc32c

from ledgerlift_client import errors
from ledgerlift_client._models import Document
from ledgerlift_client._retry import RetryState


class DownloadCourse:
    """One download over as many calls as it takes.

    For every message call `document`, `chunk` (before the bytes are written) or `summary`; each may raise. Where a
    call breaks, give its error to `failed`; where it ends and nothing is `complete`, give it `cut_short()`. The next
    call begins at `position` and asks for `still_wanted` bytes.
    """

    def __init__(self, retry: RetryState, *, offset: int = 0, length: int | None = None) -> None:
        """The range in bytes; `length` None means to the end."""
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"offset and length must be 0 or more, not {offset} and {length}")
        self.position = offset
        self.record: Document | None = None
        self.complete = False
        self._retry = retry
        self._offset = offset
        self._length = length
        self._hash = hashlib.sha256() if offset == 0 else None

    @property
    def still_wanted(self) -> int | None:
        """Bytes to ask for in the next call; None means to the end."""
        return None if self._length is None else self._offset + self._length - self.position

    @property
    def end(self) -> int | None:
        """Where the wanted range ends; None before the record came."""
        if self.record is None:
            return None
        wanted = self.record.size if self._length is None else self._offset + self._length
        return max(self._offset, min(self.record.size, wanted))

    @property
    def whole(self) -> bool:
        """True when the range is the whole document, so that its digest can be checked."""
        return self.record is not None and self._offset == 0 and self.end == self.record.size

    def document(self, record: Document) -> None:
        """The record, as every call sends it first."""
        if self.record is not None and (self.record.sha256, self.record.size) != (record.sha256, record.size):
            raise errors.DataLoss(f"the bytes of document {record.document_id} changed while they were read")
        self.record = record
        self._retry.begun()

    def chunk(self, offset: int, data: bytes, checksum: int) -> None:
        """The next bytes. Raises ChecksumMismatch when they are not the ones that were sent."""
        end = self.end
        if end is None or offset != self.position or offset + len(data) > end:
            raise self._damaged(f"{len(data)} bytes came for offset {offset}, expected was {self.position} to {end}")
        if crc32c(data) != checksum:
            raise self._damaged(f"the CRC-32C of {len(data)} bytes at offset {offset} is wrong")
        if self._hash is not None:
            self._hash.update(data)
        self.position += len(data)
        if data:
            self._retry.progressed()

    def summary(self, sha256: str, size: int) -> None:
        """The last message of a call that was not cut short. Raises ChecksumMismatch for a wrong whole."""
        record = self.record
        if record is None or self.position != self.end or (record.sha256, record.size) != (sha256, size):
            raise self._damaged(f"the download ended at {self.position}, expected was {self.end}")
        if self.whole and self._hash is not None and self._hash.hexdigest() != sha256:
            raise errors.ChecksumMismatch(
                f"the SHA-256 of document {record.document_id} is {self._hash.hexdigest()}, expected was {sha256}",
                reason="CHECKSUM_MISMATCH",
                metadata={"document_id": record.document_id},
            )
        self.complete = True

    def cut_short(self) -> errors.LedgerLiftError:
        """What to call it when a call ended without an error and without its summary."""
        return self._damaged(f"the download was cut short at {self.position}, expected was {self.end}")

    def failed(self, error: errors.LedgerLiftError) -> float:
        """Seconds to wait before the next call. Raises `error` when there shall be none."""
        if not error.retryable:
            error.attempts = self._retry.attempts
            raise error
        return self._retry.after(error)

    def _damaged(self, sentence: str) -> errors.ChecksumMismatch:
        return errors.ChecksumMismatch(sentence, reason="CHECKSUM_MISMATCH", retryable=True)
