"""One trace over client and server: what belongs to what, and which trace a log entry is of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import document_service_pb2, document_service_pb2_grpc
from ledgerlift_client import ClientOptions, LedgerLiftClient, UploadItem, errors
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from tests.support.captured_log import Entries
from tests.support.server_thread import server_in_thread
from tests.support.traces import Traces
from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")

PART = 64 * 1024
OPTIONS = ClientOptions(message_size=PART // 4, segment_size=2 * PART, backoff_base=0.001, backoff_cap=0.002)
UPLOAD, CREATE = "ledgerlift.v1.UploadService/Upload", "ledgerlift.v1.UploadService/CreateUpload"
WHOLE_UPLOAD = f"""\
ledgerlift upload
  {CREATE}
    {CREATE}
      database ledger.open
  {UPLOAD}
    {UPLOAD}
      database ledger.take
      part
        hash
        storage part.put
      part
        hash
        storage part.put
  {UPLOAD}
    {UPLOAD}
      commit
        database ledger.begin_commit
        database ledger.get
        database ledger.parts
        database ledger.publish
        part
          hash
          storage part.put
        storage multipart.complete
        storage object.stat
      database ledger.take
"""
DONE_BY_ANY_PART = ("storage multipart.create", "database ledger.attach_multipart", "database ledger.record_parts")


@contextmanager
def followed_server(traces: Traces, folder: Path) -> Iterator[str]:
    """A server that is followed. When it has stopped, all its calls have ended on its side as well."""
    sizes = {"upload_part_size": PART, "upload_segment_size": 2 * PART, "max_file_size": 100 * PART}
    with server_in_thread(folder, tracing=traces.server, **sizes) as server:
        yield server.address


@contextmanager
def both_followed(traces: Traces, folder: Path) -> Iterator[LedgerLiftClient]:
    """A client that is followed, of a server that is."""
    with (
        followed_server(traces, folder) as address,
        LedgerLiftClient(address, options=OPTIONS, tracing=traces.client) as client,
    ):
        yield client


def inside(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    """Whether the times of one lie within those of the other."""
    assert inner.start_time and inner.end_time and outer.start_time and outer.end_time
    return outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time


def without_chance(lines: list[str]) -> list[str]:
    """Which part makes the multipart upload, and which records those that are ready together, is chance."""
    return [line for line in lines if line.strip() not in DONE_BY_ANY_PART]


def test_one_trace_of_an_upload_shows_all_of_it(traces: Traces, tmp_path: Path) -> None:
    """From the operation over each call and the server's part of it to parts, hashes, transactions and the commit."""
    with both_followed(traces, tmp_path) as client:
        client.upload(os.urandom(2 * PART + 17), filename="report.bin", request_id="mine-1")
    assert without_chance(traces.tree()) == WHOLE_UPLOAD.splitlines()
    assert len({span.context.trace_id for span in traces.all()}) == 1
    of_parts = [step.name for part in traces.named("part") for step in traces.below(part)]
    assert set(of_parts) >= set(DONE_BY_ANY_PART)
    for operation in traces.below(None):
        for attempt in traces.below(operation):
            [served] = traces.below(attempt)
            assert (attempt.kind, served.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
            assert inside(attempt, operation)
            assert inside(served, attempt)
            assert served.attributes is not None
            assert served.attributes["ledgerlift.request_id"] == "mine-1"
            assert served.attributes["rpc.response.status_code"] == "OK"
    commit = traces.one("commit")
    assert all(inside(step, commit) for step in traces.below(commit))
    assert [span.status.status_code for span in traces.all() if span.status.status_code is StatusCode.ERROR] == []


def test_every_log_entry_of_a_call_names_its_trace(traces: Traces, log: Entries, tmp_path: Path) -> None:
    """Who has the trace finds the entries, and the other way round."""
    with both_followed(traces, tmp_path) as client, pytest.raises(errors.DocumentNotFound):
        client.get("01900000-0000-7000-8000-000000000000")
    [entry] = [entry for entry in log() if entry["event"] == "call_ended" and entry["code"] == "NOT_FOUND"]
    assert entry["trace_id"] == format_trace_id(traces.one("ledgerlift GetDocument").context.trace_id)
    of_calls = [entry for entry in log() if str(entry.get("method", "")).startswith("ledgerlift.v1.")]
    assert [entry for entry in of_calls if "trace_id" not in entry] == []


@pytest.mark.blocking_client
def test_any_clients_trace_is_carried_on(traces: Traces, tmp_path: Path) -> None:
    """W3C's `traceparent` is all that it takes; a call without one begins a trace."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with followed_server(traces, tmp_path) as address, grpc.insecure_channel(address) as channel:
        stub: Any = document_service_pb2_grpc.DocumentServiceStub(channel)
        request = document_service_pb2.GetDocumentStatsRequest()
        stub.GetDocumentStats(request, timeout=30, metadata=[("traceparent", parent)])
        stub.GetDocumentStats(request, timeout=30)
    carried, begun = traces.named("/GetDocumentStats")
    assert f"{carried.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert carried.parent is not None
    assert f"{carried.parent.span_id:016x}" == "b7ad6b7169203331"
    assert begun.parent is None


@pytest.mark.blocking_client
def test_probes_are_not_followed(traces: Traces, tmp_path: Path) -> None:
    """They would be most of what there is."""
    with followed_server(traces, tmp_path) as address, grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert traces.all() == []


def test_a_refusal_is_no_fault_of_the_servers(traces: Traces, tmp_path: Path) -> None:
    """The caller's side of a wrong request failed; the server did what it had to."""
    with both_followed(traces, tmp_path) as client, pytest.raises(errors.DocumentNotFound):
        client.get("01900000-0000-7000-8000-000000000000")
    attempt, served = traces.named("/GetDocument")
    assert (attempt.status.status_code, served.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    for span in (attempt, served):
        assert span.attributes is not None
        assert span.attributes["rpc.response.status_code"] == "NOT_FOUND"
    operation = traces.one("ledgerlift GetDocument")
    assert operation.attributes is not None
    assert operation.attributes["error.type"] == "DOCUMENT_NOT_FOUND"
    assert operation.events == ()  # no text of an exception


DOWNLOADS: dict[str, Callable[[LedgerLiftClient, str, Path], object]] = {
    "download": lambda client, found, folder: client.download(found, folder / "copy"),
    "download_chunks": lambda client, found, folder: list(client.download_chunks(found)),
}


@pytest.mark.parametrize("way", DOWNLOADS)
def test_each_attempt_is_a_span(way: str, traces: Traces, peer: UploadPeer, tmp_path: Path) -> None:
    """Calls that failed and those that took their place stand side by side, each with its code."""
    document_id = peer.add_document(b"x" * 1000)
    peer.fail("DownloadDocument", Fault(after=100))
    with LedgerLiftClient(peer.target, options=OPTIONS, tracing=traces.client) as client:
        DOWNLOADS[way](client, document_id, tmp_path)
    attempts = traces.named("/DownloadDocument")
    assert [dict(span.attributes or {})["rpc.response.status_code"] for span in attempts] == ["UNAVAILABLE", "OK"]
    if way == "download":
        assert traces.below(traces.one("ledgerlift download")) == attempts


def test_a_short_call_is_one_operation_however_often_it_is_made(traces: Traces, peer: UploadPeer) -> None:
    """Its attempts are counted below it."""
    document_id = peer.add_document(b"x")
    peer.fail("GetDocument", Fault(), Fault())
    with LedgerLiftClient(peer.target, options=OPTIONS, tracing=traces.client) as client:
        client.get(document_id)
    attempts = traces.below(traces.one("ledgerlift GetDocument"))
    assert [dict(span.attributes or {})["ledgerlift.attempt"] for span in attempts] == [1, 2, 3]


def test_what_a_program_follows_has_its_uploads_in_it(traces: Traces, peer: UploadPeer) -> None:
    """`upload_many` works on threads or tasks of its own, and they are parts of the caller's span all the same."""
    tracer = traces.provider.get_tracer("a program")
    with (
        LedgerLiftClient(peer.target, options=OPTIONS, tracing=traces.client) as client,
        tracer.start_as_current_span("nightly"),
    ):
        client.upload_many([UploadItem(data, filename="a.txt") for data in (b"one", b"two")])
    assert [span.name for span in traces.below(traces.one("nightly"))] == ["ledgerlift upload", "ledgerlift upload"]
