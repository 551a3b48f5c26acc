"""Connections that end within the head of an answer: what has come of it is no answer, and nobody waits for more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import TypeVar

import pytest
from crc32c import crc32c
from ledgerlift_server.adapters.s3 import S3Options
from ledgerlift_server.adapters.s3.calls import Calls
from ledgerlift_server.adapters.s3.clients import Clients
from ledgerlift_server.adapters.s3.integrity import Integrity
from ledgerlift_server.adapters.s3.multiparts import S3Multiparts
from ledgerlift_server.adapters.s3.objects import S3Objects
from ledgerlift_server.domain.store_port import NoSuchMultipart

from tests.support.object_stores import content
from tests.support.s3 import credentials_at

BODY = memoryview(content(1000))
CRC = crc32c(BODY)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STORED = b'HTTP/1.1 200 OK\r\nETag: "etag"\r\nContent-Length: 0\r\n\r\n'
FOUND = (
    b"HTTP/1.1 200 OK\r\nLast-Modified: Wed, 25 Nov 2026 10:00:00 GMT\r\nx-amz-meta-ledgerlift-token: the-token\r\n"
    b"Content-Length: 123456\r\n\r\n"
)
READ = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-1009/5000\r\nContent-Length: 1000\r\n\r\n" + bytes(
    BODY
)
REFUSAL = b"<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>"
REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(REFUSAL) + REFUSAL
"""Answered before the body is read."""
T = TypeVar("T")
PATIENCE = 20
"""Seconds after which a call does hang; each here takes milliseconds."""


class Peer:
    """Answers each connection once, byte for byte as it is told, and closes it.

    An answer is what follows `Expect: 100-continue`, and what follows the request; if the first is cut, it is all.
    """

    def __init__(self, answers: list[tuple[bytes, bytes]]) -> None:
        self.answers = answers
        self.asked: list[bool] = []
        """Of each request, whether it asked before its body."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        options = S3Options(**credentials_at(f"http://127.0.0.1:{self._listener.getsockname()[1]}"))
        self._clients = Clients(options)
        calls = Calls(self._clients, options, sleep=lambda _: None)
        self.objects = S3Objects(calls, options, Integrity())
        self.multiparts = S3Multiparts(calls, options, Integrity())

    def close(self) -> None:
        """Both ends."""
        self._clients.close()
        self._listener.close()

    def _serve(self) -> None:
        while self.answers:
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as request:
                head = b"".join(iter(request.readline, b"\r\n")).lower()
                interim, final = self.answers.pop(0)
                self.asked.append(b"expect: 100-continue" in head)
                if self.asked[-1]:
                    connection.sendall(interim)
                    if interim != CONTINUE:
                        continue
                if final != REFUSED and b"content-length: " in head:
                    request.read(int(head.partition(b"content-length: ")[2].split()[0]))
                connection.sendall(final)


Answering = Callable[..., Peer]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """Makes peers out of their answers."""
    with ExitStack() as stack:
        yield lambda *answers: stack.enter_context(closing(Peer(list(answers))))


def within_patience(call: Callable[[], T]) -> T:
    """The result of `call`, on a thread that is left behind where it hangs."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it waits for ever"
    return results[0]


@pytest.mark.parametrize("cut", [0, 9, 15, 17, 20, 31, len(STORED) - 5, len(STORED) - 1])
def test_a_head_that_is_cut_short_is_no_answer(answering: Answering, cut: int) -> None:
    """Whatever of it has come: the part is stored once more, and what is recorded is the whole ETag."""
    peer = answering((CONTINUE, STORED[:cut]), (CONTINUE, STORED))
    part = within_patience(lambda: peer.multiparts.put_part("objects/a", "upload", 1, BODY, CRC))
    assert (part.etag.strip('"'), peer.answers) == ("etag", [])


@pytest.mark.parametrize("cut", [len(FOUND) - 7, len(FOUND) - 40, 20])
def test_a_size_that_is_cut_short_is_no_size(answering: Answering, cut: int) -> None:
    """`Content-Length: 123` of 123456 made a committed upload FAILED: its object seemed to be another one."""
    peer = answering((CONTINUE, FOUND[:cut]), (CONTINUE, FOUND))
    info = within_patience(lambda: peer.objects.stat("objects/a"))
    assert (info.size, info.token, peer.answers) == (123456, "the-token", [])


@pytest.mark.parametrize("cut", [READ.index(b"\r\n\r\n") - 1, 40, len(READ) - 1])
def test_bytes_whose_head_is_cut_short_are_read_again(answering: Answering, cut: int) -> None:
    """They were taken for a stored object that had lost its end: DATA_LOSS, of a document that is whole."""
    peer = answering((CONTINUE, READ[:cut]), (CONTINUE, READ))
    data = within_patience(lambda: peer.objects.read("objects/a", 10, len(BODY)))
    assert (data, peer.answers) == (bytes(BODY), [])


@pytest.mark.parametrize("cut", range(len(CONTINUE)))
def test_a_go_ahead_that_is_cut_short_does_not_hold_the_thread(answering: Answering, cut: int) -> None:
    """botocore waits for the end of its head even when the connection has ended: a thread at 100 %, for ever."""
    peer = answering((b"", b""), (CONTINUE[:cut], b""), (CONTINUE, STORED))
    part = within_patience(lambda: peer.multiparts.put_part("objects/a", "upload", 1, BODY, CRC))
    assert (part.etag.strip('"'), peer.answers) == ("etag", [])
    assert peer.asked == [False, True, True]


def test_a_part_is_sent_without_asking(answering: Answering) -> None:
    """The question costs a round trip, and parts wait for it."""
    peer = answering((CONTINUE, STORED))
    within_patience(lambda: peer.multiparts.put_part("objects/a", "upload", 1, BODY, CRC))
    assert peer.asked == [False]


def test_a_store_that_refuses_without_reading_is_heard(answering: Answering) -> None:
    """It closes the connection under a part that is being sent, and its answer may be lost with it: the next attempt
    asks first, and nothing but that it is refused is what the caller is told."""
    body = memoryview(content(8 * 1024 * 1024))
    peer = answering((REFUSED, REFUSED), (REFUSED, REFUSED))

    def refused() -> bool:
        with pytest.raises(NoSuchMultipart):
            peer.multiparts.put_part("objects/a", "upload", 1, body, crc32c(body))
        return True

    assert within_patience(refused)
    assert peer.asked in ([False], [False, True])
