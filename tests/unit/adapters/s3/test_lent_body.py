"""`LentBody`: a file over borrowed memory, which copies nothing and stops at the deadline."""

from __future__ import annotations

import os

import pytest
from ledgerlift_server.adapters.s3.lent_body import LentBody, as_body
from ledgerlift_server.resilience.deadline import Deadline, DeadlinePassed, deadline_scope

from tests.support.clock import ManualClock


def test_it_reads_as_a_file_does() -> None:
    """Piece by piece, to the end, and again from the beginning."""
    body = LentBody(memoryview(b"0123456789"))
    assert len(body) == 10
    assert [bytes(body.read(4)) for _ in range(4)] == [b"0123", b"4567", b"89", b""]
    assert body.tell() == 10
    assert body.seek(0) == 0
    assert bytes(body.read()) == b"0123456789"
    assert body.seek(-3, os.SEEK_END) == 7
    assert body.seek(-2, os.SEEK_CUR) == 5
    assert bytes(body.read(None)) == b"56789"
    assert len(body) == 10


def test_what_it_gives_is_the_buffer_itself() -> None:
    """Every piece looks into the memory that was lent."""
    buffer = bytearray(b"0123456789")
    body = LentBody(memoryview(buffer))
    piece = body.read(4)
    assert piece.obj is buffer
    buffer[0:4] = b"abcd"
    assert bytes(piece) == b"abcd"


def test_it_ends_at_the_deadline() -> None:
    """A store that takes a little at a time would otherwise hold the buffer for as long as it likes."""
    clock = ManualClock()
    body = LentBody(memoryview(b"0123456789"))
    with deadline_scope(Deadline.after(2, clock=clock)):
        assert bytes(body.read(4)) == b"0123"
        clock.advance(2)
        with pytest.raises(DeadlinePassed):
            body.read(4)


def test_nothing_is_sent_as_bytes() -> None:
    """For a file botocore asks the server whether it may send it, which for no bytes is a round trip for nothing."""
    assert as_body(memoryview(b"")) == b""
