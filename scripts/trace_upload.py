"""Uploads a document to a server of its own, collects the spans of both sides, and prints them as a tree."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from ledgerlift_client import ClientOptions, LedgerLiftClient, LedgerLiftError
from ledgerlift_client.tracing import Tracing
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MIB = 1024 * 1024
SEGMENT = 16 * MIB
START_SECONDS, STOP_SECONDS = 60.0, 30.0
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH")
TOLD = ("number", "size", "attempt")
"""Facts of a span that are printed behind its times, without `ledgerlift.`."""

Spans = dict[bytes, list[tuple[Any, str]]]
"""Spans with the name of their service, by their parent's id."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.by_parent: Spans = defaultdict(list)
        self.by_id: dict[bytes, Any] = {}

    def Export(self, request: Any, context: Any) -> Any:
        """Called by exporters."""
        for of_resource in request.resource_spans:
            service = next(
                (fact.value.string_value for fact in of_resource.resource.attributes if fact.key == "service.name"),
                "?",
            )
            for scope in of_resource.scope_spans:
                for span in scope.spans:
                    self.by_parent[span.parent_span_id].append((span, service))
                    self.by_id[span.span_id] = span
        return otlp.ExportTraceServiceResponse()


def main(argv: Sequence[str] | None = None) -> int:
    """0: the trace was printed, and nothing of it was missing."""
    parser = argparse.ArgumentParser(prog="scripts/trace", description=__doc__, allow_abbrev=False)
    parser.add_argument("file", nargs="?", type=Path, help="document to upload")
    parser.add_argument("--size", type=int, default=20, metavar="MIB", help="size of the document that is made")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ledgerlift-trace-") as folder, collecting() as (collector, endpoint):
        try:
            upload(Path(folder), endpoint, options.file, options.size * MIB)
        except (LedgerLiftError, OSError) as error:
            print(f"the upload failed: {error}", file=sys.stderr)
            return 1
    [(root, _)] = collector.by_parent[b""] or [(None, "")]
    lost = [parent for parent in collector.by_parent if parent and parent not in collector.by_id]
    if root is None or lost:
        print("spans are missing", file=sys.stderr)
        return 1
    print(f"trace {root.trace_id.hex()}; begun after, took (ms)")
    for line in tree(collector.by_parent, b"", root.start_time_unix_nano):
        print(line)
    return 0


def tree(by_parent: Spans, parent: bytes, began: int, depth: int = 0) -> Iterator[str]:
    """The spans below `parent`, in the order in which they began."""
    for span, service in sorted(by_parent[parent], key=lambda found: found[0].start_time_unix_nano):
        after = (span.start_time_unix_nano - began) / 1e6
        took = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        facts = {fact.key.removeprefix("ledgerlift."): fact.value.int_value for fact in span.attributes}
        shown = " ".join(f"{name}={facts[name]}" for name in TOLD if name in facts)
        name = f"{'  ' * depth}{span.name}"
        kind = {2: f"  [{service}]", 3: ""}.get(span.kind, "")
        yield f"{name + kind:<72}{after:>8.1f}{took:>8.1f}  {shown}".rstrip()
        yield from tree(by_parent, span.span_id, began, depth + 1)


def upload(folder: Path, endpoint: str, file: Path | None, size: int) -> None:
    """With a server that has stopped, and sent all it had to send, when this ends."""
    if file is None:
        file = folder / "document.bin"
        file.write_bytes(os.urandom(MIB) * (size // MIB))
    provider = TracerProvider(resource=Resource.create({"service.name": "client"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    try:
        with (
            running_server(folder, endpoint) as target,
            LedgerLiftClient(
                target, options=ClientOptions(segment_size=SEGMENT), tracing=Tracing(provider)
            ) as client,
        ):
            client.upload(file)
    finally:
        provider.shutdown()


@contextlib.contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector, and where it is."""
    server = grpc.server(ThreadPoolExecutor(2, thread_name_prefix="collector"))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@contextlib.contextmanager
def running_server(folder: Path, endpoint: str) -> Iterator[str]:
    """The address of a server that sends its spans to `endpoint`."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "GRPC_ADDRESS": "127.0.0.1:0",
        "DATA_DIR": str(folder / "data"),
        "SHUTDOWN_DELAY": "0",
        "TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    command = [sys.executable, "-m", "ledgerlift_server", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        late = threading.Timer(START_SECONDS, server.kill)
        late.start()
        try:
            yield _address(server.stderr)
        finally:
            late.cancel()
            server.terminate()
            late = threading.Timer(STOP_SECONDS, server.kill)
            late.start()
            server.stderr.read()
            late.cancel()


def _address(lines: Any) -> str:
    seen = []
    for line in lines:
        seen.append(line)
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry["event"] == "serving":
                return str(entry["address"])
    raise OSError("the server did not start:\n" + "".join(seen))


if __name__ == "__main__":
    sys.exit(main())
