"""A client's channel and its process: what goes with every call, closing that ends, forks, the end of a command."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from ledgerlift_client import (
    ClientOptions,
    LedgerLiftClient,
    _attempt,
    errors,
)

from tests.support.peer_clients import DATA, FAST
from tests.support.upload_peer import Fault, UploadPeer

pytestmark = pytest.mark.usefixtures("both_clients")


def client_of(peer: UploadPeer, **options: Any) -> LedgerLiftClient:
    """A client that waits little."""
    return LedgerLiftClient(peer.target, options=ClientOptions(**{**FAST, **options}))


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
