"""Traces leave the process, and where nobody asked for them nothing of OpenTelemetry is in it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ledgerlift_client import LedgerLiftClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.programs import run
from tests.support.server import StartServer
from tests.support.tools import ROOT

WITHOUT = """
import asyncio, json, sys
from pathlib import Path
from ledgerlift_client import AsyncLedgerLiftClient
from tests.support.server import in_process_server

async def main():
    async with in_process_server(Path(sys.argv[1])) as server, AsyncLedgerLiftClient(server.address) as client:
        await client.upload(b"one", filename="a.txt")
    print(json.dumps(sorted(name for name in sys.modules if name.startswith("opentelemetry"))))

asyncio.run(main())
"""


def test_without_it_nothing_of_it_is_imported(tmp_path: Path) -> None:
    """Neither a server nor a client that was not told to trace loads a module of OpenTelemetry."""
    done = run(sys.executable, "-c", WITHOUT, str(tmp_path), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@contextmanager
def http_collector(taken: list[ExportTraceServiceRequest]) -> Iterator[str]:
    """Takes traces over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """One batch."""
            assert self.path == "/v1/traces"
            taken.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


async def test_the_last_spans_are_sent_before_it_ends(start_server: StartServer) -> None:
    """A collector over HTTP has what was done up to the SIGTERM; it was told by OpenTelemetry's own variables."""
    taken: list[ExportTraceServiceRequest] = []

    def upload(address: str) -> None:
        with LedgerLiftClient(address) as client:
            client.upload(b"one", filename="a.txt")

    with http_collector(taken) as endpoint:
        server = await start_server(
            TRACING_ENABLED="true",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_BSP_SCHEDULE_DELAY="600000",
        )
        await asyncio.to_thread(upload, server.address)
        assert await server.stop() == 0
    spans = [span for batch in taken for one in batch.resource_spans for s in one.scope_spans for span in s.spans]
    assert {"ledgerlift.v1.UploadService/Upload", "commit", "storage object.put"} <= {span.name for span in spans}
    [ended] = server.log("call_ended")
    assert {span.trace_id.hex() for span in spans} == {ended["trace_id"]}
