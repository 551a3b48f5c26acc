"""The one retry around the store: what is tried again, how often, and in whose time. Backend calls are counted."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from crc32c import crc32c
from ledgerlift_server.adapters.s3.calls import FIRST_PAUSE
from ledgerlift_server.adapters.s3.integrity import encode
from ledgerlift_server.domain.store_port import IntegrityRefused, InvalidPart, NoSuchMultipart, NoSuchObject
from ledgerlift_server.domain.upload_models import StoredPart
from ledgerlift_server.errors import DeadlineExceeded, DependencyUnavailable
from ledgerlift_server.resilience.deadline import Deadline, deadline_scope

from tests.support.clock import ManualClock
from tests.support.object_stores import MIB, SESSION
from tests.support.s3_peer import BODY, CRC, NAME, PARTS, STORED, Peer
from tests.support.scripted_s3 import Answer, ScriptedS3, failure

COMPLETED = Answer(body=b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")
LATE_FAILURE = replace(failure(500, "InternalError"), status=200)


@pytest.fixture
def peer(scripted_s3: ScriptedS3) -> Iterator[Peer]:
    """With the default options."""
    made = Peer(scripted_s3)
    yield made
    made.clients.close()


@pytest.mark.parametrize(
    "trouble",
    [
        failure(503, "SlowDown"),
        failure(500, "InternalError"),
        failure(502, "BadGateway"),
        failure(429, "TooManyRequests"),
        failure(400, "RequestTimeout"),
        failure(400, "IncompleteBody"),
        failure(409, "OperationAborted"),
        Answer(hang_up=True),
    ],
    ids=lambda answer: "hangs up" if answer.hang_up else answer.code,
)
def test_trouble_that_passes_is_sat_out(peer: Peer, trouble: Answer) -> None:
    """Every attempt sends the whole part; the pauses are random and grow."""
    peer.scripted.script = [trouble, trouble, STORED]
    assert peer.put_part().etag == "etag"
    assert [request.body for request in peer.scripted.requests] == [BODY] * 3
    assert peer.pauses == [0.5 * FIRST_PAUSE, 0.5 * FIRST_PAUSE * 2]


def test_trouble_that_stays_is_told(peer: Peer) -> None:
    """After three attempts, not nine: nobody below tries again."""
    peer.scripted.script = [failure(503, "SlowDown")]
    with pytest.raises(DependencyUnavailable) as told:
        peer.put_part()
    assert len(peer.scripted.requests) == 3
    assert told.value.retry_after == 5.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failure(403, "AccessDenied"), DependencyUnavailable),
        (failure(404, "NoSuchBucket"), DependencyUnavailable),
        (failure(400, "EntityTooSmall"), DependencyUnavailable),
        (failure(501, "SomethingElse"), DependencyUnavailable),
        (failure(404, "NoSuchUpload"), NoSuchMultipart),
        (failure(400, "BadDigest"), IntegrityRefused),
        (failure(400, "XAmzContentChecksumMismatch"), IntegrityRefused),
    ],
    ids=lambda value: value.code if isinstance(value, Answer) else value.__name__,
)
def test_a_no_is_a_no(peer: Peer, answer: Answer, error: type[Exception]) -> None:
    """What the store refuses for good is asked once."""
    peer.scripted.script = [answer]
    with pytest.raises(error):
        peer.put_part()
    expected = 3 if answer.status >= 500 else 1
    assert len(peer.scripted.requests) == expected


def test_a_failure_that_comes_as_a_success(peer: Peer) -> None:
    """S3 answers Complete with 200 before it knows the outcome; the error is in the body."""
    peer.scripted.script = [LATE_FAILURE, COMPLETED]
    peer.multiparts.complete_multipart(NAME, "upload", PARTS)
    assert len(peer.scripted.requests) == 2
    peer.scripted.script = [LATE_FAILURE, failure(404, "NoSuchUpload")]
    with pytest.raises(NoSuchMultipart):
        peer.multiparts.complete_multipart(NAME, "upload", PARTS)


def test_a_complete_that_is_cut_off_is_no_success(peer: Peer) -> None:
    """White space keeps a connection alive until the outcome is known; without the outcome it is none."""
    peer.scripted.script = [Answer(body=b"  \n"), Answer(body=b"<CompleteMulti"), failure(400, "InvalidPart")]
    with pytest.raises(InvalidPart):
        peer.multiparts.complete_multipart(NAME, "upload", PARTS)
    assert len(peer.scripted.requests) == 3


def test_a_read_that_breaks_off_begins_again(peer: Peer) -> None:
    """Half of the bytes are not the answer."""
    whole = Answer(206, bytes(BODY), {"Content-Range": f"bytes 0-{MIB - 1}/{MIB}"})
    peer.scripted.script = [replace(whole, cut=MIB // 2), whole]
    assert peer.objects.read(NAME, 0, MIB) == BODY
    assert len(peer.scripted.requests) == 2


def test_a_store_that_ignores_ranges_is_noticed(peer: Peer) -> None:
    """The beginning of an object is not its middle."""
    peer.scripted.script = [Answer(200, b"0123456789")]
    assert peer.objects.read(NAME, 0, 4) == b"0123"
    with pytest.raises(DependencyUnavailable, match="ranges"):
        peer.objects.read(NAME, 4, 4)


def test_no_pause_is_longer_than_the_deadline_leaves(peer: Peer) -> None:
    """Who cannot wait for the next attempt is told of this one."""
    peer.scripted.script = [failure(503, "SlowDown")]
    clock = ManualClock()
    with deadline_scope(Deadline.after(FIRST_PAUSE * 0.75, clock=clock)), pytest.raises(DependencyUnavailable):
        peer.put_part()
    assert peer.pauses == [FIRST_PAUSE * 0.5]
    assert len(peer.scripted.requests) == 2


def test_the_deadline_ends_a_call(peer: Peer) -> None:
    """A failure behind the deadline is the deadline's, not the store's: it opens no breaker."""
    clock = ManualClock()
    peer.scripted.script = [replace(failure(503, "SlowDown"), before=lambda: clock.advance(60))]
    with deadline_scope(Deadline.after(30, clock=clock)), pytest.raises(DeadlineExceeded):
        peer.put_part()
    assert len(peer.scripted.requests) == 1


def test_what_goes_with_a_part(peer: Peer) -> None:
    """Its length and its CRC-32C, both signed; the bytes themselves are not hashed a second time."""
    peer.scripted.script = [STORED]
    peer.put_part()
    headers = {name.lower(): value for name, value in peer.scripted.requests[0].headers.items()}
    assert headers["content-length"] == str(MIB)
    assert headers["x-amz-checksum-crc32c"] == encode(CRC)
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    signed = re.search(r"SignedHeaders=([^,]+)", headers["authorization"])
    assert signed is not None
    assert "x-amz-checksum-crc32c" in signed[1].split(";")


def test_a_busy_store_may_be_slow_to_read(scripted_s3: ScriptedS3) -> None:
    """Sending waits as long as the store may take for bytes, and not as long as a connection may take."""
    peer = Peer(scripted_s3, connect_timeout=0.2, read_timeout=30.0)
    scripted_s3.script = [replace(STORED, slow=1.0)]
    large = memoryview(bytes(24 * MIB))  # more than the kernel takes on its own
    peer.multiparts.put_part(NAME, "upload", 1, large, crc32c(large))
    peer.clients.close()
    assert len(scripted_s3.requests) == 1


def test_options_that_reach_the_store(scripted_s3: ScriptedS3) -> None:
    """Encryption on what makes an object and not on its parts; a signed payload where it is wanted."""
    peer = Peer(scripted_s3, sse="aws:kms", kms_key_id="a-key", sign_payload=True)
    scripted_s3.script = [
        STORED,
        Answer(body=b"<R><UploadId>u</UploadId></R>"),
        STORED,
    ]
    peer.objects.put(NAME, BODY, CRC, SESSION)
    peer.multiparts.create_multipart(NAME, SESSION)
    peer.put_part()
    peer.clients.close()
    put, create, part = ({k.lower(): v for k, v in request.headers.items()} for request in scripted_s3.requests)
    for headers in (put, create):
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "a-key"
        assert headers["x-amz-meta-ledgerlift-token"] == SESSION
    assert not [name for name in part if "encryption" in name]
    assert re.fullmatch(r"[0-9a-f]{64}", part["x-amz-content-sha256"])


def test_a_new_client_does_not_disturb_calls_in_flight(scripted_s3: ScriptedS3) -> None:
    """The old one's call ends as if nothing had been, while the next call is the new one's already."""
    peer = Peer(scripted_s3, client_ttl=300.0)
    arrived, released = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        assert released.wait(20)

    scripted_s3.script = [replace(STORED, before=hold), STORED]
    results: list[StoredPart] = []
    slow = threading.Thread(target=lambda: results.append(peer.put_part()))
    slow.start()
    assert arrived.wait(20)
    first = peer.clients.current()
    assert peer.clients.age == 0
    peer.clock.advance(299)
    assert peer.clients.current() is first
    peer.clock.advance(1)
    peer.put_part()
    assert peer.clients.current() is not first
    assert peer.clients.age == 0
    released.set()
    slow.join(20)
    assert [part.etag for part in results] == ["etag"]
    peer.clients.close()


def test_credentials_that_expired_are_read_anew(peer: Peer) -> None:
    """The call is refused; the next one is made by a new client."""
    peer.scripted.script = [failure(400, "ExpiredToken"), STORED]
    first = peer.clients.current()
    with pytest.raises(DependencyUnavailable, match="expired"):
        peer.put_part()
    peer.put_part()
    assert peer.clients.current() is not first


def test_an_object_that_is_not_there(peer: Peer) -> None:
    """HeadObject says 404 and no more; the bucket is asked for before that is believed."""
    peer.scripted.script = [Answer(404), Answer(200)]
    with pytest.raises(NoSuchObject):
        peer.objects.stat(NAME)
    assert [request.method for request in peer.scripted.requests] == ["HEAD", "HEAD"]
    assert peer.scripted.requests[1].path == "/any-bucket"
