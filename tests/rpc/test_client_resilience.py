"""What a client does when its target fails, and when its caller changes its mind."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from ledgerlift_client import (
    CancelToken,
    CircuitState,
    ClientOptions,
    Failed,
    Finished,
    LedgerLiftClient,
    ProgressMade,
    Resumed,
    Retrying,
    Started,
    TransferEvent,
    UploadItem,
    errors,
)

from tests.support.peer_clients import DATA, FAST
from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")


def client_of(peer: UploadPeer, **options: Any) -> LedgerLiftClient:
    """A client that waits little."""
    return LedgerLiftClient(peer.target, options=ClientOptions(**{**FAST, **options}))


# The breaker


def test_an_open_breaker_sends_nothing_and_says_so(peer: UploadPeer) -> None:
    """Five failures, then CircuitOpen without a call; after the recovery one call finds out."""
    peer.fail("GetDocument", *[Fault() for _ in range(5)])
    with client_of(peer, breaker_recovery=0.5) as client:
        assert client.circuit_breaker_status().state is CircuitState.CLOSED
        with pytest.raises(errors.Unavailable) as own:
            client.get("d")
        assert (own.value.code, own.value.attempts) == (grpc.StatusCode.UNAVAILABLE, 5)
        with pytest.raises(errors.CircuitOpen) as refused:
            client.get("d")
        assert (refused.value.reason, refused.value.code) == ("CLIENT_CIRCUIT_OPEN", None)
        assert peer.count("GetDocument") == 5
        status = client.circuit_breaker_status()
        assert (status.target, status.state, status.refused) == (peer.target, CircuitState.OPEN, 2)
        time.sleep(refused.value.retry_after or 0)
        with pytest.raises(errors.DocumentNotFound):
            client.get("d")
        assert client.circuit_breaker_status().state is CircuitState.CLOSED


def test_a_short_outage_of_a_known_server_is_waited_out(peer: UploadPeer) -> None:
    """Somebody was there before: calls wait for the breaker instead of failing for its half minute."""
    document_id = peer.add_document(DATA)
    with client_of(peer) as client:
        client.get(document_id)
        peer.fail("GetDocument", *[Fault() for _ in range(5)])
        client.get(document_id)
        assert client.circuit_breaker_status().opened == 1
        peer.fail("GetDocument", *[Fault() for _ in range(5)])
        with ThreadPoolExecutor(4) as threads:
            assert len(list(threads.map(client.get, [document_id] * 8))) == 8


def test_what_the_server_answers_keeps_the_breaker_closed(peer: UploadPeer) -> None:
    """Also when it is that it cannot: its own breaker, an overload."""
    peer.fail("GetDocument", *[Fault(reason="CIRCUIT_OPEN") for _ in range(10)])
    with client_of(peer, max_attempts=10) as client:
        with pytest.raises(errors.CircuitOpen) as raised:
            client.get("d")
        assert (raised.value.reason, raised.value.attempts) == ("CIRCUIT_OPEN", 10)
        assert client.circuit_breaker_status().failures_in_a_row == 0


def test_a_transfer_that_has_begun_waits_for_the_breaker(peer: UploadPeer) -> None:
    """It is bounded by its patience, not by other calls' failures or the budget."""
    peer.fail("Upload", Fault(after=100), *[Fault() for _ in range(7)])
    with client_of(peer, breaker_recovery=0.05, breaker_grace=0.01, retry_budget=1) as client:
        result = client.upload(DATA, filename="a.bin")
        assert client.circuit_breaker_status().opened >= 1
    assert peer.stored(result.document.document_id) == DATA
    assert result.attempts == 9


# Cancelling


@pytest.mark.parametrize("method", ["Upload", "CreateUpload", "DownloadDocument"])
@pytest.mark.blocking_client
def test_a_token_ends_a_transfer_from_another_thread(peer: UploadPeer, method: str) -> None:
    """At once, though the server hangs; the server hears of it, and the session stays."""
    token = CancelToken()
    document_id = peer.add_document(DATA)
    peer.fail(method, Fault(hang=60.0))

    def cancel() -> None:
        assert peer.hanging.wait(20)
        token.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    began = time.monotonic()
    events: list[TransferEvent] = []
    with client_of(peer) as client:
        works = {"DownloadDocument": lambda **more: client.download(document_id, io.BytesIO(), **more)}
        work = works.get(method, lambda **more: client.upload(DATA, filename="a.bin", **more))
        with pytest.raises(errors.Cancelled):
            work(cancel=token, on_event=events.append)
    thread.join()
    assert time.monotonic() - began < 20
    assert peer.abandoned.wait(10)
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, errors.Cancelled)


@pytest.mark.blocking_client
def test_a_token_ends_a_wait(peer: UploadPeer) -> None:
    """Between two attempts nobody sleeps on; what is durable is told."""
    token = CancelToken()
    peer.fail("Upload", Fault(None, after=256), Fault(reason="OVERLOADED", retry_after=60.0))
    with client_of(peer) as client:
        with pytest.raises(errors.Cancelled) as raised:
            client.upload(
                DATA,
                filename="a.bin",
                cancel=token,
                on_event=lambda event: token.cancel() if isinstance(event, Retrying) else None,
            )
        assert raised.value.upload_id in peer.sessions
        assert int(raised.value.metadata["persisted_size"]) >= 256
        assert client.circuit_breaker_status().failures_in_a_row == 0
        with pytest.raises(errors.Cancelled):
            client.upload(DATA, filename="a.bin", cancel=token)


# What is told


def test_the_story_of_an_upload_that_broke(peer: UploadPeer) -> None:
    """Started, progress, the break, where it went on, the end."""
    peer.fail("Upload", Fault(after=200))
    events: list[TransferEvent] = []
    with client_of(peer, progress_interval=3600.0) as client:
        result = client.upload(DATA, filename="a.bin", on_event=events.append)
    told = [type(event) for event in events]
    assert told == [Started, ProgressMade, Retrying, Resumed, ProgressMade, Finished]
    assert events[0] == Started("a.bin", 1000, result.request_id)
    assert events[3] == Resumed(192, result.upload_id)
    assert isinstance(events[4], ProgressMade)
    assert (events[4].progress.durable, events[4].progress.fraction) == (1000, 1.0)
    assert events[5] == Finished(result)


def test_the_story_of_a_download_that_broke(peer: UploadPeer) -> None:
    """Its total is known with the record."""
    peer.fail("DownloadDocument", Fault(after=300))
    events: list[TransferEvent] = []
    with client_of(peer, progress_interval=3600.0) as client:
        document = client.download(peer.add_document(DATA), io.BytesIO(), on_event=events.append)
    assert [type(event) for event in events] == [Started, ProgressMade, Retrying, Resumed, ProgressMade, Finished]
    assert events[3] == Resumed(300, None)
    assert events[5] == Finished(document)


# Sources and many of them


def test_an_iterator_of_unknown_length_is_uploaded_over_breaks(peer: UploadPeer) -> None:
    """What is not durable is kept, so that it can be sent again; what it raises is the caller's own."""
    peer.fail("Upload", Fault(after=100), Fault(after=120))

    def broken() -> Iterator[bytes]:
        yield DATA
        raise ZeroDivisionError("the disk is gone")

    with client_of(peer, replay_buffer=128) as client:
        result = client.upload((DATA[n : n + 37] for n in range(0, 1000, 37)), filename="a.bin")
        assert peer.stored(result.document.document_id) == DATA
        with pytest.raises(ZeroDivisionError, match="disk"):
            client.upload(broken(), filename="a.bin")


def test_one_failure_of_many_is_an_outcome(peer: UploadPeer, tmp_path: Any) -> None:
    """In the order given, each with its result or its error, never more at a time than was said."""
    (tmp_path / "a.bin").write_bytes(DATA)
    running, most, lock = 0, 0, threading.Lock()

    def on_event(item: UploadItem, event: TransferEvent) -> None:
        nonlocal running, most
        with lock:
            running += isinstance(event, Started) - isinstance(event, Finished | Failed)
            most = max(most, running)

    sources: list[Any] = [
        tmp_path / "a.bin",
        tmp_path / "nowhere",
        UploadItem(DATA[:10], filename="b.bin"),
        b"without a name",
        *[UploadItem(DATA, filename=f"{n}.bin") for n in range(6)],
    ]
    with client_of(peer) as client:
        outcomes = client.upload_many(sources, concurrency=2, on_event=on_event)
    assert [outcome.item.source for outcome in outcomes[:4]] == [*sources[:2], DATA[:10], sources[3]]
    assert [type(outcome.error) for outcome in outcomes[:4]] == [
        type(None),
        FileNotFoundError,
        type(None),
        ValueError,
    ]
    assert all((outcome.result is None) != (outcome.error is None) for outcome in outcomes)
    assert outcomes[2].result is not None
    assert peer.stored(outcomes[2].result.document.document_id) == DATA[:10]
    assert (most, running) == (2, 0)


@pytest.mark.blocking_client
def test_many_uploads_are_cancelled_together(peer: UploadPeer) -> None:
    """By one token: those that run and those that wait."""
    token = CancelToken()
    peer.fail("Upload", *[Fault(hang=60.0) for _ in range(2)])
    threading.Thread(target=lambda: peer.hanging.wait(20) and token.cancel()).start()
    with client_of(peer) as client:
        items = [UploadItem(b"x", filename="a.bin") for _ in range(5)]
        outcomes = client.upload_many(items, concurrency=2, cancel=token)
    assert [type(outcome.error) for outcome in outcomes] == [errors.Cancelled] * 5
    assert 1 <= peer.count("Upload") <= 2  # the second may not have begun when the token was cancelled


def test_a_refused_digest_ends_the_upload_at_once(peer: UploadPeer) -> None:
    """A server that says what it computed has decided: nothing is asked, nothing is sent again."""
    facts = {"computed": "cd" * 32}
    peer.fail("Upload", Fault(grpc.StatusCode.INVALID_ARGUMENT, after=50, reason="CHECKSUM_MISMATCH", facts=facts))
    with client_of(peer) as client, pytest.raises(errors.ChecksumMismatch) as raised:
        client.upload(DATA[:200], filename="a.bin", sha256="ab" * 32)
    assert peer.calls == ["Upload"]
    assert raised.value.attempts == 1
