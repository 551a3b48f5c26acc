"""A server that for a moment says of itself that it cannot serve, and a client that was answered before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift.v1 import upload_service_pb2_grpc
from ledgerlift_client import ClientOptions, LedgerLiftClient
from ledgerlift_client._channel import channel_options

pytestmark = pytest.mark.usefixtures("both_clients")

IMPATIENT = ClientOptions(max_attempts=3, backoff_base=0.01, health_checking=True)
"""All attempts are over long before grpc asks for the health again: a second, which cannot be set."""
TIMEOUT = 30


def test_no_health_is_followed_unless_that_is_asked_for() -> None:
    """grpc's code for it can end the process of whoever uses it."""
    assert "healthCheckConfig" not in dict(channel_options(ClientOptions()))["grpc.service_config"]
    assert "healthCheckConfig" in dict(channel_options(IMPATIENT))["grpc.service_config"]


class Moody(health_pb2_grpc.HealthServicer, upload_service_pb2_grpc.UploadServiceServicer):
    """Serving, until `relapse`: then the first health check is refused, and from the next one on all is well."""

    def __init__(self) -> None:
        self.relapse = threading.Event()
        self.well_again = threading.Event()
        self._watches = 0

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[health_pb2.HealthCheckResponse]:
        """Of the standard health service."""
        self._watches += 1
        if self._watches == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "in a moment")
        if self._watches == 3:
            self.well_again.set()
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        self.relapse.wait(TIMEOUT)
        if self._watches == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "in a moment")
        context.add_callback((gone := threading.Event()).set)
        gone.wait(TIMEOUT)

    def GetLimits(self, request: Any, context: grpc.ServicerContext) -> pb.GetLimitsResponse:
        """Of ours."""
        return pb.GetLimitsResponse()


@pytest.fixture
def moody() -> Iterator[tuple[Moody, str]]:
    """The servicer, and where it listens."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    servicer = Moody()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    upload_service_pb2_grpc.add_UploadServiceServicer_to_server(servicer, server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer, target
    servicer.relapse.set()
    server.stop(0).wait()


def test_a_health_check_that_fails_once_is_waited_for(moody: tuple[Moody, str]) -> None:
    """It does not use up the attempts of the calls that are made until grpc asks again."""
    servicer, target = moody
    with LedgerLiftClient(target, options=IMPATIENT) as client:
        client.limits()
        servicer.relapse.set()
        while not servicer.well_again.is_set():
            client.limits()
