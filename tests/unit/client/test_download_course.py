"""What a download checks, and where it goes on; decided without I/O."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from crc32c import crc32c
from ledgerlift_client import errors
from ledgerlift_client._download_course import DownloadCourse
from ledgerlift_client._models import Document, ProcessingStatus
from ledgerlift_client._retry import Backoff, RetryState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DATA = bytes(range(100))
SHA = hashlib.sha256(DATA).hexdigest()


def record(sha256: str = SHA, size: int = 100) -> Document:
    """The document's record."""
    return Document("d", "a", "t/t", size, sha256, "", "", {}, ProcessingStatus.UPLOADED, "", NOON, NOON)


def course(offset: int = 0, length: int | None = None) -> DownloadCourse:
    """A download that has its record."""
    made = DownloadCourse(RetryState(Backoff(0.1, 1.0), max_attempts=3), offset=offset, length=length)
    made.document(record())
    return made


def feed(it: DownloadCourse, start: int, end: int, data: bytes = DATA) -> None:
    """One good chunk."""
    piece = data[start:end]
    it.chunk(start, piece, crc32c(piece))


def test_a_whole_document_is_complete_when_its_digest_is_right() -> None:
    """Record, chunks, summary."""
    it = course()
    feed(it, 0, 60)
    feed(it, 60, 100)
    it.summary(SHA, 100)
    assert it.complete


def test_a_wrong_whole_is_refused() -> None:
    """Every chunk's CRC may be right and the document still not the one that was stored."""
    it = course()
    feed(it, 0, 100, bytes(100))
    with pytest.raises(errors.ChecksumMismatch) as raised:
        it.summary(SHA, 100)
    assert not it.complete
    assert not raised.value.retryable


def test_a_damaged_chunk_is_refused_and_does_not_count() -> None:
    """The next call begins before it."""
    it = course()
    feed(it, 0, 40)
    with pytest.raises(errors.ChecksumMismatch) as raised:
        it.chunk(40, DATA[40:50], crc32c(DATA[40:50]) ^ 1)
    assert raised.value.retryable
    assert it.position == 40


@pytest.mark.parametrize(("start", "end"), [(10, 20), (0, 101)])
def test_a_chunk_out_of_place_is_refused(start: int, end: int) -> None:
    """A hole, or more than there is."""
    it = course()
    piece = bytes(end - start)
    with pytest.raises(errors.ChecksumMismatch, match="expected was 0"):
        it.chunk(start, piece, crc32c(piece))


def test_a_summary_before_the_end_is_refused() -> None:
    """What ends early is not complete, whatever the server says."""
    it = course()
    feed(it, 0, 99)
    with pytest.raises(errors.ChecksumMismatch):
        it.summary(SHA, 100)


@pytest.mark.parametrize(
    ("offset", "length", "end", "whole"),
    [(0, None, 100, True), (0, 200, 100, True), (10, None, 100, False), (10, 20, 30, False), (100, None, 100, False)],
)
def test_ranges_end_where_the_document_does(offset: int, length: int | None, end: int, whole: bool) -> None:
    """More than there is means to the end; only a whole document can be compared with its digest."""
    it = course(offset, length)
    assert (it.end, it.whole) == (end, whole)
    feed(it, offset, end)
    it.summary(SHA, 100)
    assert it.complete


def test_a_range_goes_on_with_what_is_missing() -> None:
    """After a break only the rest of the range is asked for."""
    it = course(10, 50)
    feed(it, 10, 30)
    assert (it.position, it.still_wanted) == (30, 30)
    assert course().still_wanted is None


def test_a_document_that_changes_under_a_download_is_not_put_together() -> None:
    """Half of one and half of another must not become a file."""
    it = course()
    with pytest.raises(errors.DataLoss):
        it.document(record(sha256="ff" * 32))


def test_failures_are_tried_again_only_where_they_may_pass() -> None:
    """NotFound is raised at once; a broken connection is waited for."""
    it = course()
    assert it.failed(errors.Unavailable("down", retryable=True)) >= 0
    with pytest.raises(errors.DocumentNotFound):
        it.failed(errors.DocumentNotFound("gone"))
    assert it.cut_short().retryable


def test_a_range_below_zero_is_refused() -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError, match="0 or more"):
        DownloadCourse(RetryState(Backoff(0.1, 1.0)), offset=-1)
