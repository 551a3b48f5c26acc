"""Watches over broken connections: every entry once and in order, every change of a session until its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from ledgerlift_client import ClientOptions, LedgerLiftClient, Progress, UploadState, errors

from tests.support.cut_wire import CutWire
from tests.support.server_thread import server_in_thread

pytestmark = pytest.mark.usefixtures("both_clients")

PART = 64 * 1024
OPTIONS = ClientOptions(message_size=16 * 1024, segment_size=2 * PART, backoff_base=0.01, backoff_cap=0.05)
RECONNECTS = 20


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for these tests."""
    changes = {"upload_part_size": PART, "upload_segment_size": 2 * PART, "max_file_size": 100 * PART}
    with server_in_thread(tmp_path_factory.mktemp("server"), **changes) as server:
        yield server.address


@pytest.fixture
def client(address: str) -> Iterator[LedgerLiftClient]:
    """A client whose connection holds."""
    with LedgerLiftClient(address, options=OPTIONS) as made:
        yield made


def test_events_through_twenty_reconnects(address: str, client: LedgerLiftClient) -> None:
    """No gap, no repeat: entries made before a cut, while the watcher is away, and in the middle of a batch."""
    document_id = client.upload(os.urandom(20), filename="a.bin").document.document_id
    numbers = iter(range(1000))

    def record(count: int) -> None:
        for _ in range(count):
            client.record_event(document_id, f"n{next(numbers)}")

    with CutWire(address) as wire, LedgerLiftClient(wire.address, options=OPTIONS) as watcher:
        seen = []
        with closing(cast(Any, watcher.watch_events(document_id))) as events:
            seen.append(next(events))
            for _ in range(RECONNECTS):
                record(4)
                seen += [next(events), next(events)]
                connections = wire.connections
                wire.cut()  # with two entries on their way
                record(3)  # and three that nobody watches
                seen += [next(events) for _ in range(5)]
                assert wire.connections > connections
    trail = list(client.events(document_id))
    assert [event.type for event in trail] == ["document.created", *(f"n{n}" for n in range(7 * RECONNECTS))]
    assert seen == trail


def broken_off(client: LedgerLiftClient, data: bytes, request_id: str) -> str:
    """A session of which two parts are durable."""

    def stop(progress: Progress) -> None:
        if progress.durable >= 2 * PART:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.upload(data, filename="a.bin", request_id=request_id, progress=stop)
    (session,) = client.list_uploads(request_id=request_id)
    return session.upload_id


def test_a_session_is_watched_to_its_end_over_a_cut(address: str, client: LedgerLiftClient) -> None:
    """The present state first, each growth once, and the iteration ends with the document."""
    data, request_id = os.urandom(8 * PART), os.urandom(8).hex()
    upload_id = broken_off(client, data, request_id)
    with CutWire(address) as wire, LedgerLiftClient(wire.address, options=OPTIONS) as watcher:
        changes = watcher.watch_upload(upload_id)
        seen = [next(changes)]
        assert (seen[0].state, seen[0].persisted_size) == (UploadState.ACTIVE, 2 * PART)
        wire.cut()
        result = client.resume(upload_id, data)
        seen += changes
        assert wire.connections >= 2
    told = [(upload.state, upload.persisted_size) for upload in seen]
    assert len(set(told)) == len(told)
    assert [size for _, size in told] == sorted(size for _, size in told)
    assert (seen[-1].state, seen[-1].document_id) == (UploadState.COMMITTED, result.document.document_id)


def test_a_watch_of_what_is_over_ends_at_once(client: LedgerLiftClient) -> None:
    """One look, and no second call."""
    result = client.upload(b"over" + os.urandom(8), filename="a.bin")
    (only,) = client.watch_upload(result.upload_id or "")
    assert only.state is UploadState.COMMITTED
    with pytest.raises(errors.UploadNotFound):
        list(client.watch_upload("00000000-0000-7000-8000-000000000000"))


def test_a_watch_ends_by_its_timeout(client: LedgerLiftClient) -> None:
    """A quiet trail is no failure, but the caller's time is the caller's."""
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded):
        list(client.watch_events(timeout=1.5))
    assert 1.0 < time.monotonic() - began < 20


def test_a_left_watch_leaves_no_call_behind(tmp_path: Path) -> None:
    """The server hears at once that nobody listens any more."""
    with server_in_thread(tmp_path) as server, LedgerLiftClient(server.address) as client:
        for _ in range(3):
            with closing(cast(Any, client.watch_events())) as events:
                client.upload(os.urandom(9), filename="a.bin")
                next(events)
        began = time.monotonic()
    assert time.monotonic() - began < 20  # a drain waits for calls that are running
