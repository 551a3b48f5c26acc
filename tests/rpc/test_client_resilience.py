"""What a client does when its target fails, when its caller changes its mind, and when its process was forked."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
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
    _attempt,
    errors,
)

from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")

FAST: dict[str, Any] = {"backoff_base": 0.001, "backoff_cap": 0.002, "message_size": 50, "segment_size": 256}
DATA = bytes(os.urandom(1000))
REFUSED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def peer() -> Iterator[UploadPeer]:
    """A server that breaks on request."""
    with UploadPeer() as server:
        yield server


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
    peer.fail("Upload", Fault(after=100))
    peer.fail("GetUpload", *[Fault() for _ in range(7)])
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


# The channel and the process


def test_metadata_goes_with_every_call(peer: UploadPeer) -> None:
    """Short calls, uploads and downloads."""
    document_id = peer.add_document(DATA)
    metadata = {"authorization": "Bearer t", "trace-bin": b"\x00\x01"}
    with LedgerLiftClient(peer.target, options=ClientOptions(**FAST), metadata=metadata) as client:
        client.get(document_id)
        client.upload(DATA, filename="a.bin")
        client.download(document_id, io.BytesIO())
    assert len(peer.headers) > 3
    assert all(sent["authorization"] == "Bearer t" and sent["trace-bin"] == b"\x00\x01" for sent in peer.headers)
    assert all(sent["x-request-id"] for sent in peer.headers)


@pytest.mark.parametrize("checking", [True, False])
def test_a_server_that_is_not_serving_gets_no_calls(checking: bool) -> None:
    """Client-side health checking works in gRPC's Python, with round robin; it can be switched off."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    called = []

    def document(request: bytes, context: Any) -> bytes:
        called.append(request)
        return b""

    handlers = {"GetDocument": grpc.unary_unary_rpc_method_handler(document)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("ledgerlift.v1.DocumentService", handlers),)
    )
    state = health.HealthServicer()
    state.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    options = ClientOptions(**FAST, health_checking=checking, max_attempts=2)
    try:
        with LedgerLiftClient(target, options=options) as client:
            if checking:
                with pytest.raises(errors.Unavailable, match="unhealthy"):
                    client.get("d")
                assert not called
                state.set("", health_pb2.HealthCheckResponse.SERVING)
                wait_until(lambda: ready(client))
            client.get("d")
            assert called
    finally:
        server.stop(0).wait()


def ready(client: LedgerLiftClient) -> bool:
    """Whether a call goes through."""
    try:
        client.get("d")
    except errors.Unavailable:
        return False
    return True


def wait_until(true: Any) -> None:
    """Poll; a minute is for ever."""
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of every fork beside threads
from ledgerlift_client import LedgerLiftClient, errors

def known(client):
    try:
        client.get("d")
    except errors.DocumentNotFound:
        return True

def told(work):
    try:
        work()
    except RuntimeError as error:
        print(error, flush=True)
        return True

client = LedgerLiftClient(sys.argv[1])
assert known(client)
child = os.fork()
if not child:
    assert told(lambda: client.get("d")) and told(lambda: client.upload(b"x", filename="a.bin"))
    client.close()
    if os.environ.get("GRPC_ENABLE_FORK_SUPPORT"):
        with LedgerLiftClient(sys.argv[1]) as own:
            assert known(own)
    else:
        assert told(lambda: LedgerLiftClient(sys.argv[1]))
    os._exit(7)
status = os.waitpid(child, 0)[1]
assert known(client)
client.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("supported", [False, True])
@pytest.mark.blocking_client
def test_a_forked_process_is_told_and_does_not_hang(peer: UploadPeer, supported: bool) -> None:
    """The client is the parent's, who goes on with it; the child is told what works in it, before a call hangs."""
    variables = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1" if supported else ""}
    done = subprocess.run(
        [sys.executable, "-c", FORK, peer.target],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "`spawn`" in done.stdout


@pytest.mark.blocking_client
def test_closing_is_bounded(peer: UploadPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC's own `close` has waited for ever (grpc#20026); ours tells and goes on."""
    never = threading.Event()

    class Stuck:
        def close(self) -> None:
            never.wait(60)

    monkeypatch.setattr("ledgerlift_client._calls.CLOSE_PATIENCE", 0.1)
    client = client_of(peer)
    real, client._calls._channel = client._calls._channel, Stuck()  # type: ignore[assignment]  # grpc's, not ours
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 20
    never.set()
    real.close()


@pytest.mark.blocking_client
def test_a_call_that_grpc_does_not_end_is_not_waited_for(peer: UploadPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind its deadline the client goes on by itself."""

    class Lost:
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(details._replace(timeout=3600), request)

    class Interceptor(Lost, grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc's class has no types
        pass

    monkeypatch.setattr("ledgerlift_client._calls.OVERDUE", 0.1)
    monkeypatch.setattr(_attempt, "OVERDUE", 0.1)
    peer.fail("GetDocument", Fault(hang=60.0))
    with (
        LedgerLiftClient(peer.target, interceptors=[Interceptor()]) as client,
        pytest.raises(errors.DeadlineExceeded, match="did not end"),
    ):
        client.get("d", timeout=0.3)
    assert peer.abandoned.wait(20)


@pytest.mark.blocking_client
def test_the_command_ends_with_its_work() -> None:
    """Whatever a library would still do on the interpreter's way out: a finished command has once hung there."""
    code = (
        "import atexit, sys, time; atexit.register(time.sleep, 3600); sys.argv = ['ledgerlift', '--help'];"
        "from ledgerlift_client.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_a_refused_digest_ends_the_upload_at_once(peer: UploadPeer) -> None:
    """A server that says what it computed has decided: nothing is asked, nothing is sent again."""
    facts = {"computed": "cd" * 32}
    peer.fail("Upload", Fault(grpc.StatusCode.INVALID_ARGUMENT, after=50, reason="CHECKSUM_MISMATCH", facts=facts))
    with client_of(peer) as client, pytest.raises(errors.ChecksumMismatch) as raised:
        client.upload(DATA[:200], filename="a.bin", sha256="ab" * 32)
    assert peer.calls == ["Upload"]
    assert raised.value.attempts == 1
