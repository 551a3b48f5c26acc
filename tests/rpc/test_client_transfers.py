"""The client against a server that breaks on request: nothing is lost, nothing is sent that need not be."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import grpc
import pytest
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_client import ClientOptions, LedgerLiftClient, Progress, UploadSpec, _upload_plan, errors
from ledgerlift_client._sources import StreamSource

from tests.support.peer_clients import DATA, INTERNAL, OPTIONS
from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")


@pytest.fixture
def client(peer: UploadPeer) -> Iterator[LedgerLiftClient]:
    """A client of it, with small messages and segments."""
    with LedgerLiftClient(peer.target, options=OPTIONS) as made:
        yield made


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """A few bytes."""
        return self._data.read(min(size, 37))


def source_of(kind: str, data: bytes, folder: Path) -> Any:
    """The same bytes as a source of this kind."""
    if kind == "path":
        path = folder / "a.bin"
        path.write_bytes(data)
        return path
    return {"bytes": lambda: data, "file": lambda: io.BytesIO(data), "pipe": lambda: Pipe(data)}[kind]()


KINDS = pytest.mark.parametrize("kind", ["bytes", "path", "file", "pipe"])


@KINDS
@pytest.mark.parametrize("size", [0, 1, 50, 51, 256, 257, 512, 1000])
def test_documents_of_every_size_from_every_source(
    peer: UploadPeer, client: LedgerLiftClient, kind: str, size: int, tmp_path: Path
) -> None:
    """Around the sizes of a message, a segment and the replay buffer, every byte arrives once."""
    result = client.upload(source_of(kind, DATA[:size], tmp_path), filename="a.bin")
    assert peer.stored(result.document.document_id) == DATA[:size]
    assert (result.resent_bytes, result.attempts, result.duplicate) == (0, 1, False)
    assert result.upload_id in peer.sessions


def test_a_small_document_is_one_call(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """No session call, and its id comes with the call itself."""
    client.upload(DATA[:200], filename="a.bin")
    assert peer.calls == ["Upload"]


def test_a_large_document_is_one_call_for_each_segment(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """Each goes on where the last durable byte lies."""
    client.upload(DATA, filename="a.bin")
    assert peer.calls == ["CreateUpload", "Upload", "Upload", "Upload", "Upload"]
    assert [messages[0][0] for messages in peer.received] == [0, 256, 512, 768]


@KINDS
@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, INTERNAL, grpc.StatusCode.CANCELLED])
@pytest.mark.parametrize("after", [1, 100, 120])
def test_a_broken_call_goes_on_from_what_is_durable(
    peer: UploadPeer, client: LedgerLiftClient, kind: str, code: grpc.StatusCode, after: int, tmp_path: Path
) -> None:
    """The session is taken before bytes are sent once more; of them only those that are not durable."""
    peer.fail("Upload", Fault(code, after=after), Fault(code, after=after))
    result = client.upload(source_of(kind, DATA, tmp_path), filename="a.bin")
    assert peer.stored(result.document.document_id) == DATA
    assert result.attempts == 3
    assert [len(messages) for messages in peer.received].count(0) == 2
    assert 0 < result.resent_bytes <= 2 * 256


@KINDS
def test_a_lost_answer_makes_no_second_document(
    peer: UploadPeer, client: LedgerLiftClient, kind: str, tmp_path: Path
) -> None:
    """The commit happened and its answer broke: the same document comes back, with its receipt."""
    peer.fail("Upload", Fault(INTERNAL, commit_first=True))
    result = client.upload(source_of(kind, DATA[:100], tmp_path), filename="a.bin")
    assert len(peer.documents) == 1
    assert peer.stored(result.document.document_id) == DATA[:100]
    assert result.receipt.sha256 == result.document.sha256


def test_a_call_that_broke_before_its_session_was_known(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """CreateUpload with the same request id finds the session."""
    peer.fail("Upload", Fault(INTERNAL, after=200, hide_upload_id=True))
    result = client.upload(DATA[:250], filename="a.bin", request_id="once")
    assert (len(peer.documents), len(peer.sessions)) == (1, 1)
    assert peer.calls == ["Upload", "CreateUpload", "Upload", "Upload"]
    assert peer.received[1] == []  # the session is taken before bytes are sent
    assert peer.received[2][0][0] == 192  # three whole parts were durable
    assert result.request_id == "once"


@pytest.mark.parametrize("reason", [pb.STOP_REASON_DRAINING, pb.STOP_REASON_DEADLINE, pb.STOP_REASON_STALLED])
def test_a_call_that_ends_early_with_ok_goes_on(peer: UploadPeer, client: LedgerLiftClient, reason: int) -> None:
    """A drain is no failure: nothing is asked, nothing is waited for."""
    peer.fail("Upload", Fault(None, after=130, stop_reason=reason))
    result = client.upload(DATA, filename="a.bin")
    assert peer.stored(result.document.document_id) == DATA
    assert (result.attempts, peer.count("GetUpload")) == (1, 0)


def test_what_the_server_asks_for_is_waited_for(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """`grpc-retry-pushback-ms` and RetryInfo are the least wait; the longer one counts."""
    peer.fail("Upload", Fault(reason="DRAINING", retry_after=0.05, pushback="300"))
    began = time.monotonic()
    client.upload(DATA[:10], filename="a.bin")
    assert time.monotonic() - began >= 0.3


def test_a_negative_pushback_is_obeyed(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The server may forbid to try again."""
    peer.fail("Upload", Fault(reason="OVERLOADED", pushback="-1"))
    with pytest.raises(errors.Overloaded):
        client.upload(DATA[:10], filename="a.bin")
    assert peer.calls == ["Upload"]


def test_a_wait_longer_than_the_time_left_is_not_begun(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The caller is told at once, with the wait that was asked for."""
    peer.fail("GetDocument", Fault(reason="CIRCUIT_OPEN", retry_after=55.0))
    began = time.monotonic()
    with pytest.raises(errors.CircuitOpen) as raised:
        client.get("d")
    assert time.monotonic() - began < 10
    assert (raised.value.retry_after, raised.value.attempts) == (55.0, 1)


def test_attempts_end(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The error says how many there were and which request it was."""
    peer.fail("GetDocument", *[Fault() for _ in range(9)])
    with pytest.raises(errors.Unavailable) as raised:
        client.get("d")
    assert (raised.value.attempts, peer.count("GetDocument")) == (5, 5)
    ids = {headers["x-request-id"] for headers in peer.headers}
    assert ids == {raised.value.request_id}


def test_what_is_refused_is_not_tried_again(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """NOT_FOUND repeats."""
    with pytest.raises(errors.DocumentNotFound):
        client.get("d")
    assert peer.count("GetDocument") == 1


def test_nobody_there() -> None:
    """A target without a server is Unavailable after the attempts, in a second and not in a minute."""
    options = ClientOptions(backoff_base=0.001, backoff_cap=0.001)
    with LedgerLiftClient("127.0.0.1:1", options=options) as client:
        with pytest.raises(errors.Unavailable) as raised:
            client.upload(b"x", filename="a.bin")
        assert raised.value.attempts == 5  # then the client's breaker is open
        assert raised.value.request_id


def test_a_source_that_fails_is_the_callers_own_exception(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """Not UNKNOWN, and the session stays for the same request id."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 300:
                raise ZeroDivisionError("disk on fire")
            return super().read(min(size or 0, 50))

    with pytest.raises(ZeroDivisionError, match="disk on fire"):
        client.upload(Broken(DATA), filename="a.bin", request_id="r")
    result = client.upload(DATA, filename="a.bin", request_id="r")
    assert peer.stored(result.document.document_id) == DATA
    assert len(peer.sessions) == 1
    assert peer.received[-1][0][0] == 768


def test_a_progress_callback_that_fails_is_the_callers_own_exception(client: LedgerLiftClient) -> None:
    """It ends the upload like a failing source does."""

    def stop(progress: Progress) -> None:
        if progress.position >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.upload(DATA, filename="a.bin", progress=stop)


@pytest.mark.blocking_client
def test_an_interrupted_call_is_cancelled(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The server hears of it at once, and does not wait for a client that has left."""

    def stop(progress: Progress) -> None:
        assert peer.hanging.wait(10)
        raise KeyboardInterrupt

    peer.fail("Upload", Fault(hang=30.0))
    with pytest.raises(KeyboardInterrupt):
        client.upload(DATA[:100], filename="a.bin", progress=stop)
    assert peer.abandoned.wait(10)


@pytest.mark.blocking_client
def test_a_stream_is_kept_only_until_it_is_durable(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The memory of an upload from a pipe does not grow with its length."""
    source = StreamSource(cast(BinaryIO, Pipe(DATA * 20)), replay=128, owned=False)
    kept = []
    spec = UploadSpec("a.bin", "application/octet-stream", request_id="r")
    reporter = client._reporter(source, lambda _: kept.append(len(source._kept)), None)
    operation = client._calls.transfer(None, "r", None)
    result = client._run(source, spec, None, reporter, operation)
    assert peer.stored(result.document.document_id) == DATA * 20
    assert max(kept) == 128


@pytest.mark.blocking_client
def test_no_thread_outlives_its_call(client: LedgerLiftClient) -> None:
    """grpc's reading thread ends with a call that was broken off on this side."""

    def stop(progress: Progress) -> None:
        if progress.position >= 100:
            raise KeyboardInterrupt

    client.upload(b"", filename="warm.bin")
    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        client.upload(DATA, filename="a.bin", progress=stop)
    started = [t for t in set(threading.enumerate()) - before if "ThreadPoolExecutor" not in t.name]  # the server's
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


def test_a_file_that_changes_while_it_is_sent_makes_no_document(
    peer: UploadPeer, client: LedgerLiftClient, tmp_path: Path
) -> None:
    """SourceChanged, and the session is given up so that the same request id can begin afresh."""
    path = tmp_path / "a.log"
    path.write_bytes(DATA)

    def grow(progress: Progress) -> None:
        if progress.position == 512:
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(errors.SourceChanged):
        client.upload(path, request_id="r", progress=grow)
    assert not peer.documents
    result = client.upload(path, request_id="r")
    assert peer.stored(result.document.document_id) == path.read_bytes() != DATA


def test_a_wrong_digest_is_refused_and_not_sent_twice(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The session FAILED: its own refusal is raised, not a second upload."""
    with pytest.raises(errors.ChecksumMismatch):
        client.upload(DATA[:100], filename="a.bin", sha256="ab" * 32)
    assert not peer.documents
    assert [len(messages) for messages in peer.received] == [2, 0]


@KINDS
def test_an_upload_is_resumed_by_another_process(
    peer: UploadPeer, client: LedgerLiftClient, kind: str, tmp_path: Path
) -> None:
    """What is durable is hashed and not sent; the document is verified as a whole."""
    peer.fail("Upload", Fault(None, after=120), Fault(grpc.StatusCode.PERMISSION_DENIED, after=100))
    with pytest.raises(errors.PermissionDenied) as raised:
        client.upload(source_of(kind, DATA, tmp_path), filename="a.bin")
    upload_id = raised.value.upload_id
    assert upload_id is not None
    durable = client.get_upload(upload_id).persisted_size
    assert durable > 0
    with LedgerLiftClient(peer.target, options=OPTIONS) as other:
        result = other.resume(upload_id, source_of(kind, DATA, tmp_path))
    assert peer.stored(result.document.document_id) == DATA
    assert result.resent_bytes == 0
    assert min(offset for messages in peer.received[2:] for offset, _ in messages) == durable


def test_a_document_of_one_call_is_not_sent_again_either(
    peer: UploadPeer, client: LedgerLiftClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a request id of the caller's, what is durable of it is asked for before anything is sent."""
    monkeypatch.setattr(_upload_plan, "ASK_FIRST_ABOVE", 100)
    peer.fail("Upload", Fault(grpc.StatusCode.PERMISSION_DENIED, after=150))
    with pytest.raises(errors.PermissionDenied):
        client.upload(DATA[:250], filename="a.bin", request_id="r")
    result = client.upload(DATA[:250], filename="a.bin", request_id="r")
    assert peer.stored(result.document.document_id) == DATA[:250]
    assert peer.received[-1][0][0] == 128
    assert [messages[:1] for messages in peer.received[:2]] == [[], [(0, 50)]]
    peer.calls.clear()
    client.upload(DATA[:90], filename="a.bin", request_id="small")
    assert peer.calls == ["Upload"]


def test_resuming_with_another_source_is_refused(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """By its size at once, and the session stays as it is."""
    peer.fail("Upload", Fault(grpc.StatusCode.PERMISSION_DENIED, after=150))
    with pytest.raises(errors.PermissionDenied) as raised:
        client.upload(DATA, filename="a.bin")
    with pytest.raises(errors.SourceError, match="1000"):
        client.resume(raised.value.upload_id or "", DATA[:999])
    assert peer.count("CancelUpload") == 0


def test_progress_is_told_to_the_end(client: LedgerLiftClient) -> None:
    """Position and durable size grow to the whole; the total is known from the start."""
    seen: list[Progress] = []
    client.upload(DATA, filename="a.bin", progress=seen.append)
    assert {p.total for p in seen} == {1000}
    assert [p.position for p in seen] == sorted(p.position for p in seen)
    assert (seen[-1].position, seen[-1].durable, seen[-1].fraction) == (1000, 1000, 1.0)
    assert {p.durable for p in seen} == {0, 256, 512, 768, 1000}


def test_a_server_that_hangs_costs_one_segments_time(peer: UploadPeer) -> None:
    """The deadline of one call passes, and the upload goes on."""
    peer.fail("Upload", Fault(hang=30.0))
    options = ClientOptions(segment_timeout=0.3, backoff_base=0.001)
    with LedgerLiftClient(peer.target, options=options) as client:
        result = client.upload(DATA, filename="a.bin")
    assert peer.stored(result.document.document_id) == DATA
    assert result.attempts == 2


def test_the_timeout_is_for_everything(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """An upload that cannot end in its time ends with DeadlineExceeded and says which session it was."""
    peer.fail("Upload", *[Fault(hang=30.0) for _ in range(5)])
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded) as raised:
        client.upload(DATA, filename="a.bin", timeout=0.5)
    assert time.monotonic() - began < 5
    assert raised.value.upload_id in peer.sessions


def test_a_closed_client_says_so(peer: UploadPeer) -> None:
    """Instead of hanging or of an error of grpc's."""
    client = LedgerLiftClient(peer.target)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get("d")


@pytest.mark.blocking_client
def test_interceptors_see_every_call(peer: UploadPeer) -> None:
    """Tokens and traces are added by grpc's own means."""
    seen = []

    class Spy(grpc.StreamUnaryClientInterceptor, grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc's
        def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
            seen.append(details.method)
            return continuation(details, requests)

        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            seen.append(details.method)
            return continuation(details, request)

    peer.fail("Upload", Fault(after=100))
    with LedgerLiftClient(peer.target, options=OPTIONS, interceptors=[Spy()]) as client:
        result = client.upload(DATA, filename="a.bin")
        with pytest.raises(errors.DocumentNotFound):
            client.get("d")
    assert peer.stored(result.document.document_id) == DATA
    assert {name.rpartition("/")[2] for name in seen} == {"CreateUpload", "Upload", "GetDocument"}


def test_following_events_over_breaks_repeats_and_skips_none(peer: UploadPeer, client: LedgerLiftClient) -> None:
    """The cursor of the last entry seen is where it goes on."""
    peer.fail("WatchEvents", Fault(after=3), Fault(after=0), Fault(after=4))
    events = client.watch_events()
    assert [next(events).cursor for _ in range(10)] == [str(n) for n in range(1, 11)]
    events.close()  # type: ignore[attr-defined]  # it is a generator, so that a caller can stop


def test_importing_the_client_is_light() -> None:
    """No command-line packages, no server, no cloud SDK."""
    code = "import ledgerlift_client, sys; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"click", "rich", "boto3", "botocore", "sqlalchemy", "pydantic", "ledgerlift_server"} & set(loaded)
