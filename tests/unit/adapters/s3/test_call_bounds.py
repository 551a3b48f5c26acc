"""How many requests one call of the port makes of a store that fails, and which failures say that it is down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from ledgerlift_server.adapters.s3 import S3Options
from ledgerlift_server.adapters.s3.calls import BUDGET
from ledgerlift_server.errors import DependencyUnavailable

from tests.support.object_stores import MIB, SESSION
from tests.support.s3_peer import BODY, CRC, NAME, PARTS, STORED, Peer
from tests.support.scripted_s3 import Answer, ScriptedS3, failure

OPERATIONS: dict[str, Callable[[Peer], object]] = {
    "object.put": lambda peer: peer.objects.put(NAME, BODY, CRC, SESSION),
    "object.stat": lambda peer: peer.objects.stat(NAME),
    "object.read": lambda peer: peer.objects.read(NAME, 0, MIB),
    "object.delete": lambda peer: peer.objects.delete(NAME),
    "object.list": lambda peer: peer.objects.list_objects(None, 10),
    "multipart.create": lambda peer: peer.multiparts.create_multipart(NAME, SESSION),
    "part.put": Peer.put_part,
    "multipart.complete": lambda peer: peer.multiparts.complete_multipart(NAME, "upload", PARTS),
    "multipart.abort": lambda peer: peer.multiparts.abort_multipart(NAME, "upload"),
    "part.list": lambda peer: peer.multiparts.list_parts(NAME, "upload"),
    "multipart.list": lambda peer: peer.multiparts.list_multiparts(10),
    "ping": lambda peer: peer.objects.check_bucket(),
}


@pytest.fixture
def peer(scripted_s3: ScriptedS3) -> Iterator[Peer]:
    """With the default options."""
    made = Peer(scripted_s3)
    yield made
    made.clients.close()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("trouble", [Answer(503), Answer(hang_up=True)], ids=["503", "hangs up"])
def test_requests_of_one_operation_are_bounded(peer: Peer, operation: str, trouble: Answer) -> None:
    """A store that fails at everything is asked `max_attempts` times by each call of the port, and no more."""
    peer.scripted.script = [trouble]
    with pytest.raises(DependencyUnavailable) as told:
        OPERATIONS[operation](peer)
    assert len(peer.scripted.requests) == S3Options(bucket="any").max_attempts
    assert not told.value.answered


def test_when_everything_fails_nothing_is_tried_again(peer: Peer) -> None:
    """Retries do not multiply the load on a store that is down; what succeeds brings them back, a few at a time."""
    peer.scripted.script = [failure(503, "SlowDown")]
    calls = 40
    for _ in range(calls):
        with pytest.raises(DependencyUnavailable):
            peer.put_part()
    assert len(peer.scripted.requests) == calls + BUDGET
    peer.scripted.script = [STORED]
    for _ in range(6):
        peer.put_part()
    peer.scripted.script, asked = [failure(503, "SlowDown")], len(peer.scripted.requests)
    with pytest.raises(DependencyUnavailable):
        peer.put_part()
    assert len(peer.scripted.requests) == asked + 2


def test_a_timeout_is_not_tried_again(scripted_s3: ScriptedS3) -> None:
    """It has cost the store's own patience already, and says that the store is down."""
    peer = Peer(scripted_s3, read_timeout=0.2)
    scripted_s3.script = [replace(STORED, slow=2.0)]
    with pytest.raises(DependencyUnavailable, match="in time") as told:
        peer.put_part()
    peer.clients.close()
    assert not told.value.answered
    assert peer.pauses == []


@pytest.mark.parametrize(
    ("answer", "answered"),
    [
        (failure(403, "AccessDenied"), True),
        (failure(404, "NoSuchBucket"), True),
        (failure(400, "EntityTooSmall"), True),
        (failure(429, "TooManyRequests"), False),
        (failure(400, "RequestTimeout"), False),
        (failure(500, "InternalError"), False),
        (failure(501, "NotImplemented"), False),
        (failure(503, "SlowDown"), False),
    ],
    ids=lambda value: value.code if isinstance(value, Answer) else "",
)
def test_a_refusal_is_an_answer(peer: Peer, answer: Answer, answered: bool) -> None:
    """Wrong credentials open no breaker: the store is there, and is asked again as soon as they are right."""
    peer.scripted.script = [answer]
    with pytest.raises(DependencyUnavailable) as told:
        peer.put_part()
    assert told.value.answered is answered
