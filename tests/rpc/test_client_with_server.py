"""The client library and a whole server: every method, and what is promised when something breaks between them."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ledgerlift_client import (
    ClientOptions,
    DuplicateFound,
    DuplicatePolicy,
    Finished,
    LedgerLiftClient,
    ProcessingStatus,
    Progress,
    ProgressMade,
    Started,
    TransferEvent,
    UploadResult,
    UploadState,
    errors,
)

from tests.support.cut_wire import CutWire
from tests.support.server_thread import server_in_thread

pytestmark = pytest.mark.usefixtures("both_clients")

KIB = 1024
PART = 64 * KIB
SEGMENT = 4 * PART
OPTIONS = ClientOptions(message_size=10 * KIB, segment_size=SEGMENT, replay_buffer=2 * PART)
LARGE = os.urandom(10 * PART + 123)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for these tests; each test has documents and keys of its own."""
    changes = {
        "upload_part_size": PART,
        "upload_segment_size": SEGMENT,
        "max_file_size": 100 * PART,
        "allowed_content_types": ("text/plain", "application/*"),
    }
    with server_in_thread(tmp_path_factory.mktemp("server"), **changes) as server:
        yield server.address


@pytest.fixture
def client(address: str) -> Iterator[LedgerLiftClient]:
    """A client with small messages and segments."""
    with LedgerLiftClient(address, options=OPTIONS) as made:
        yield made


def fresh(size: int = 100) -> bytes:
    """Text that nobody has uploaded yet."""
    return os.urandom(size // 2 + 1).hex().encode()[:size]


def fetched(client: LedgerLiftClient, document_id: str) -> bytes:
    """A document's bytes."""
    memory = io.BytesIO()
    client.download(document_id, memory)
    return memory.getvalue()


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, SEGMENT, SEGMENT + 1, 10 * PART + 123])
def test_what_goes_in_comes_out(client: LedgerLiftClient, size: int, tmp_path: Path) -> None:
    """Of every size around a part and a segment, from a file and from a pipe."""
    data = fresh(size)
    path = tmp_path / "report.txt"
    path.write_bytes(data)
    stored = client.upload(path, metadata={"a": "b", "ü": "ö"}, duplicate_policy=DuplicatePolicy.CREATE_NEW)
    document = stored.document
    assert (document.filename, document.content_type, document.size) == ("report.txt", "text/plain", size)
    assert document.sha256 == hashlib.sha256(data).hexdigest() == stored.receipt.sha256
    assert document.metadata == {"a": "b", "ü": "ö"}
    assert (stored.attempts, stored.resent_bytes) == (1, 0)
    assert fetched(client, document.document_id) == data

    reader, writer = os.pipe()
    thread = threading.Thread(target=_write_all, args=(writer, data))
    thread.start()
    with os.fdopen(reader, "rb") as stream:
        piped = client.upload(stream, filename="pipe.bin", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    thread.join()
    assert fetched(client, piped.document.document_id) == data


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def test_a_document_from_its_birth_to_its_end(client: LedgerLiftClient) -> None:
    """Get, list, status, events, delete: the record and its audit trail."""
    began, prefix = datetime.now(UTC) - timedelta(minutes=5), f"life/{os.urandom(4).hex()}"
    stored = client.upload(fresh(), filename="a.txt", key=f"{prefix}/1")
    document_id = stored.document.document_id
    assert client.get(document_id) == stored.document
    assert client.update_status(document_id, ProcessingStatus.PROCESSING).status is ProcessingStatus.PROCESSING
    failed = client.update_status(document_id, ProcessingStatus.FAILED, error_message="no ink")
    assert (failed.status, failed.error_message) == (ProcessingStatus.FAILED, "no ink")
    with pytest.raises(errors.InvalidStatusTransition):
        client.update_status(document_id, ProcessingStatus.COMPLETED)
    first = client.record_event(document_id, "printed", detail={"pages": "3"}, request_id=prefix)
    assert client.record_event(document_id, "printed", detail={"pages": "3"}, request_id=prefix) == first
    filters = {"key_prefix": prefix, "status": ProcessingStatus.FAILED, "content_type": "text/plain"}
    found = list(client.list(created_after=began, created_before=began + timedelta(days=1), **filters))  # type: ignore[arg-type]  # a dict of several types
    assert [d.document_id for d in found] == [document_id]
    assert list(client.list(key_prefix=prefix, created_before=began)) == []
    client.delete(document_id)
    client.delete(document_id)
    with pytest.raises(errors.DocumentNotFound) as raised:
        client.get(document_id)
    assert raised.value.request_id
    trail = list(client.events(document_id, page_size=2))
    assert [event.type for event in trail] == [
        "document.created",
        "document.status_changed",
        "document.status_changed",
        "printed",
        "document.deleted",
    ]
    assert (trail[1].from_status, trail[1].to_status) == (ProcessingStatus.UPLOADED, ProcessingStatus.PROCESSING)
    assert trail[3].detail == {"pages": "3"}


def test_lists_are_fetched_page_by_page(client: LedgerLiftClient) -> None:
    """Every document once, newest first, however small the pages are."""
    prefix = f"pages/{os.urandom(4).hex()}"
    ids = [client.upload(fresh(), filename="a.txt", key=f"{prefix}/{n}").document.document_id for n in range(5)]
    for page_size in (1, 2, 5, 100):
        found = [d.document_id for d in client.list(key_prefix=prefix, page_size=page_size)]
        assert found == ids[::-1]


def test_a_watcher_sees_what_happens_next(client: LedgerLiftClient) -> None:
    """From the cursor of the last entry seen, on."""
    document_id = client.upload(fresh(), filename="a.txt").document.document_id
    (created,) = client.events(document_id)
    events = client.watch_events(document_id, cursor=created.cursor)
    client.record_event(document_id, "read")
    assert next(events).type == "read"
    client.record_event(document_id, "read.again")
    assert next(events).type == "read.again"
    events.close()  # type: ignore[attr-defined]  # it is a generator, so that a caller can stop


def test_counts_digests_and_limits(client: LedgerLiftClient) -> None:
    """What the server tells of itself."""
    before = client.stats()
    data = fresh()
    stored = client.upload(data, filename="a.txt").document
    after = client.stats()
    assert after.total.documents == before.total.documents + 1
    assert after.by_status[ProcessingStatus.UPLOADED].documents > 0
    assert after.by_content_type["text/plain"].total_size >= 100
    many = [hashlib.sha256(f"nobody has {n}".encode()).hexdigest() for n in range(1500)]
    found = client.check_digests([*many, stored.sha256])
    assert {digest: entry.document_id for digest, entry in found.items()} == {stored.sha256: stored.document_id}
    limits = client.limits()
    assert (limits.part_size, limits.segment_size, limits.max_document_size) == (PART, SEGMENT, 100 * PART)
    assert limits.session_lifetime > timedelta(hours=1)
    assert limits.allowed_content_types == ("text/plain", "application/*")


def test_duplicates_by_each_policy(client: LedgerLiftClient) -> None:
    """The same document, a refusal that names it, or a new one on the same bytes."""
    data = fresh()
    first = client.upload(data, filename="a.txt").document
    again = client.upload(data, filename="b.txt")
    assert (again.duplicate, again.document) == (True, first)
    with pytest.raises(errors.DuplicateDocument) as raised:
        client.upload(data, filename="b.txt", duplicate_policy=DuplicatePolicy.REJECT)
    assert raised.value.document_id == first.document_id
    new = client.upload(data, filename="c.txt", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    assert new.document.document_id != first.document_id
    assert not new.duplicate


def test_a_duplicate_with_a_known_digest_is_not_sent(client: LedgerLiftClient) -> None:
    """The answer comes before the bytes."""
    data = fresh(10 * PART)
    client.upload(data, filename="a.bin")
    positions: list[Progress] = []
    digest = hashlib.sha256(data).hexdigest()
    again = client.upload(data, filename="a.bin", sha256=digest, progress=positions.append)
    assert again.duplicate
    assert again.receipt.bytes_received == 0
    assert len(positions) == 1


@pytest.mark.parametrize("size", [100, 10 * PART])
def test_known_bytes_are_found_out_before_they_are_sent(client: LedgerLiftClient, size: int, tmp_path: Path) -> None:
    """`dedupe="check"`: by every policy the server's answer, and not a byte for it; unknown bytes are sent."""
    data = fresh(size)
    (tmp_path / "a.txt").write_bytes(data)
    first = client.upload(tmp_path / "a.txt", dedupe="check")
    assert (first.duplicate, first.receipt.bytes_received > 0) == (False, True)
    events: list[TransferEvent] = []
    again = client.upload(tmp_path / "a.txt", filename="b.txt", dedupe="check", on_event=events.append)
    assert (again.duplicate, again.document, again.receipt.bytes_received) == (True, first.document, 0)
    assert [type(event) for event in events] == [Started, ProgressMade, DuplicateFound, Finished]
    new = client.upload(data, filename="c.txt", dedupe="check", duplicate_policy=DuplicatePolicy.CREATE_NEW)
    assert (new.duplicate, new.receipt.bytes_received, new.document.filename) == (False, 0, "c.txt")
    with pytest.raises(errors.DuplicateDocument):
        client.upload(data, filename="b.txt", dedupe="check", duplicate_policy=DuplicatePolicy.REJECT)
    other = client.upload(data[:-1] + b"!", filename="b.txt", dedupe="check")
    assert not other.duplicate
    assert fetched(client, other.document.document_id) == data[:-1] + b"!"


def test_a_state_file_finds_the_upload_again(address: str, client: LedgerLiftClient, tmp_path: Path) -> None:
    """The next run goes on from the durable size, with one document in the end and no file left."""
    path, state, prefix = tmp_path / "a.bin", tmp_path / "upload.json", f"state/{os.urandom(4).hex()}"
    path.write_bytes(os.urandom(10 * PART))

    def stop(progress: Progress) -> None:
        if progress.durable >= SEGMENT:
            raise KeyboardInterrupt

    with LedgerLiftClient(address, options=OPTIONS) as earlier, pytest.raises(KeyboardInterrupt):
        earlier.upload(path, key=f"{prefix}/1", state_file=state, progress=stop)
    positions: list[Progress] = []
    with pytest.MonkeyPatch.context() as small:
        small.setattr("ledgerlift_client._upload_plan.ASK_FIRST_ABOVE", PART)
        result = client.upload(path, key=f"{prefix}/1", state_file=state, progress=positions.append)
    assert positions[0].position >= SEGMENT
    assert fetched(client, result.document.document_id) == path.read_bytes()
    assert len(list(client.list(key_prefix=prefix))) == 1
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_key_names_one_document(client: LedgerLiftClient) -> None:
    """Other bytes under a key that is taken are refused."""
    key = f"taken/{os.urandom(4).hex()}"
    client.upload(fresh(), filename="a.txt", key=key)
    with pytest.raises(errors.KeyTaken):
        client.upload(fresh(), filename="a.txt", key=key)


def test_wrong_fields_are_all_named(client: LedgerLiftClient) -> None:
    """One answer lists every field."""
    with pytest.raises(errors.InvalidArgument) as raised:
        client.upload(b"x", filename="a/b", content_type="image/png", key="k" * 600)
    assert {v.field for v in raised.value.violations} == {"spec.filename", "spec.content_type", "spec.key"}


def test_refusals_of_content(client: LedgerLiftClient) -> None:
    """Too large, and not what the digest says; neither leaves a document."""
    with pytest.raises(errors.DocumentTooLarge) as raised:
        client.upload(bytes(100 * PART + 1), filename="a.bin")
    assert raised.value.limit == 100 * PART
    with pytest.raises(errors.ChecksumMismatch):
        client.upload(fresh(), filename="a.bin", sha256="ab" * 32)
    with pytest.raises(errors.ContentTypeMismatch):
        client.upload(b"%PDF-1.7 " + fresh(), filename="a.txt")


@pytest.mark.parametrize("size", [100, 10 * PART])
def test_one_request_id_is_one_document_for_ever(client: LedgerLiftClient, size: int) -> None:
    """A repeat answers the same; another description under the same id is refused."""
    data, request_id = fresh(size), os.urandom(8).hex()
    first = client.upload(data, filename="a.bin", request_id=request_id)
    again = client.upload(data, filename="a.bin", request_id=request_id)
    assert (again.document, again.upload_id) == (first.document, first.upload_id)
    with pytest.raises(errors.RequestIdReused):
        client.upload(data, filename="b.bin", request_id=request_id)


@pytest.mark.parametrize("size", [100, 10 * PART])
def test_many_callers_with_one_request_id_get_one_document(client: LedgerLiftClient, size: int) -> None:
    """At the same time; those who come second wait for the first and do not interrupt each other for ever."""
    data, request_id = fresh(size), os.urandom(8).hex()

    def upload(_: int) -> UploadResult:
        return client.upload(data, filename="a.bin", request_id=request_id)

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(upload, range(8)))
    assert len({result.document.document_id for result in results}) == 1
    assert fetched(client, results[0].document.document_id) == data


def test_an_upload_that_was_broken_off_goes_on_under_its_request_id(client: LedgerLiftClient) -> None:
    """What is durable is not sent again, and the digest is that of the whole."""
    data, request_id = fresh(10 * PART + 7), os.urandom(8).hex()

    def stop(progress: Progress) -> None:
        if progress.durable >= SEGMENT and progress.position > progress.durable:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.upload(data, filename="a.bin", request_id=request_id, progress=stop)
    (session,) = client.list_uploads(request_id=request_id)
    assert session.state is UploadState.ACTIVE
    assert session.persisted_size >= SEGMENT
    positions: list[Progress] = []
    result = client.upload(data, filename="a.bin", request_id=request_id, progress=positions.append)
    assert positions[0].position >= SEGMENT
    assert result.upload_id == session.upload_id
    assert fetched(client, result.document.document_id) == data


def test_a_session_is_resumed_by_its_id_or_given_up(client: LedgerLiftClient) -> None:
    """`resume` needs the session and the source; after `cancel_upload` there is nothing to resume."""

    def stop(progress: Progress) -> None:
        if progress.durable >= SEGMENT:
            raise KeyboardInterrupt

    sessions = []
    for request_id in (os.urandom(8).hex(), os.urandom(8).hex()):
        with pytest.raises(KeyboardInterrupt):
            client.upload(LARGE, filename="a.bin", request_id=request_id, progress=stop)
        sessions += client.list_uploads(request_id=request_id, state=UploadState.ACTIVE)
    resumed = client.resume(sessions[0].upload_id, io.BytesIO(LARGE))
    assert fetched(client, resumed.document.document_id) == LARGE
    assert client.cancel_upload(sessions[1].upload_id).state is UploadState.CANCELLED
    with pytest.raises(errors.UploadCancelled):
        client.resume(sessions[1].upload_id, LARGE)
    with pytest.raises(errors.UploadAlreadyCommitted):
        client.cancel_upload(sessions[0].upload_id)


def test_resuming_with_other_bytes_is_found_out(client: LedgerLiftClient) -> None:
    """As many bytes, but not the same: the digest of the whole is wrong and no document is made."""

    def stop(progress: Progress) -> None:
        if progress.durable >= SEGMENT:
            raise KeyboardInterrupt

    data, request_id = fresh(10 * PART), os.urandom(8).hex()
    with pytest.raises(KeyboardInterrupt):
        client.upload(data, filename="a.bin", request_id=request_id, progress=stop)
    (session,) = client.list_uploads(request_id=request_id)
    with pytest.raises(errors.ChecksumMismatch):
        client.resume(session.upload_id, b"x" + data[1:])
    assert client.get_upload(session.upload_id).state is UploadState.FAILED


@pytest.mark.parametrize("cut_after", [PART // 2, 3 * PART, SEGMENT + 2 * PART])
@pytest.mark.parametrize("kind", ["bytes", "pipe"])
def test_a_connection_that_is_cut_costs_less_than_a_segment(address: str, cut_after: int, kind: str) -> None:
    """The upload goes on over a new connection, from what is durable."""
    data = fresh(10 * PART + 1)
    with (
        CutWire(address, cut_after=cut_after) as wire,
        LedgerLiftClient(wire.address, options=OPTIONS) as client,
    ):
        if kind == "bytes":
            result = client.upload(data, filename="a.bin")
        else:
            reader, writer = os.pipe()
            thread = threading.Thread(target=_write_all, args=(writer, data))
            thread.start()
            with os.fdopen(reader, "rb") as stream:
                result = client.upload(stream, filename="a.bin")
            thread.join()
        assert wire.cuts == 1
        assert fetched(client, result.document.document_id) == data
    assert result.attempts >= 2
    assert result.resent_bytes <= SEGMENT


def test_a_connection_that_is_cut_during_a_download_is_taken_up(
    address: str, client: LedgerLiftClient, tmp_path: Path
) -> None:
    """From the last good byte, and the file is whole."""
    data = fresh(40 * PART)
    document_id = client.upload(data, filename="a.bin").document.document_id
    seen: list[Progress] = []
    with CutWire(address) as wire, LedgerLiftClient(wire.address, options=OPTIONS) as other:

        def cut_once(progress: Progress) -> None:
            if progress.position > 10 * PART and not any(p.position > 10 * PART for p in seen):
                wire.cut()
            seen.append(progress)

        other.download(document_id, tmp_path / "copy", progress=cut_once)
    assert (tmp_path / "copy").read_bytes() == data
    assert [p.position for p in seen] == sorted(p.position for p in seen)


def test_ranges_of_a_download(client: LedgerLiftClient) -> None:
    """Exactly the bytes asked for."""
    data = fresh(3 * PART)
    document_id = client.upload(data, filename="a.bin").document.document_id
    for offset, length in ((0, 10), (PART - 1, 2), (3 * PART, None), (100, None), (5, 0), (3 * PART - 1, 500)):
        memory = io.BytesIO()
        client.download(document_id, memory, offset=offset, length=length)
        assert memory.getvalue() == data[offset : None if length is None else offset + length]


def test_a_download_can_be_taken_in_pieces(client: LedgerLiftClient) -> None:
    """As an iterator, a range of it too, and nothing is fetched any more once it is closed."""
    data = fresh(20 * PART)
    document_id = client.upload(data, filename="a.bin").document.document_id
    assert b"".join(client.download_chunks(document_id)) == data
    assert b"".join(client.download_chunks(document_id, offset=5, length=PART)) == data[5 : 5 + PART]
    pieces = client.download_chunks(document_id)
    assert data.startswith(next(pieces))
    pieces.close()
    assert list(pieces) == []
