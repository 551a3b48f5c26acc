"""The grpc.aio server: its options, its services, and nothing of what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from ledgerlift.v1 import (
    document_service_pb2,
    document_service_pb2_grpc,
    operations_service_pb2,
    operations_service_pb2_grpc,
    upload_service_pb2,
    upload_service_pb2_grpc,
)

from ledgerlift_server.rpc.reflection import reflection_servicer
from ledgerlift_server.rpc.wire_reader import read_upload_request

SERVICES: Sequence[ServiceDescriptor] = [
    file.DESCRIPTOR.services_by_name[name]
    for file, name in (
        (upload_service_pb2, "UploadService"),
        (document_service_pb2, "DocumentService"),
        (operations_service_pb2, "OperationsService"),
    )
]
"""The services of the API."""

MIN_PING_INTERVAL = 10
"""Seconds between two keepalive pings of a client; one that pings more often is sent away (ENHANCE_YOUR_CALM)."""
KEEPALIVE_TIME, KEEPALIVE_TIMEOUT = 30, 10
"""Seconds of silence after which the server pings a client that has calls, and the time that it gets to answer."""


def make_server(
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    *,
    max_message_size: int,
    window: int,
    connection_age: float,
    channelz: bool,
) -> grpc.aio.Server:
    """A server without services. `window` is what one stream may send ahead of being read, in bytes.

    After `connection_age` seconds (10 % more or less) a connection takes no new calls; those that run go on.
    """
    options = {
        # Two processes must not share a port: the second one is to fail, not to take half of the calls.
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": max_message_size,
        "grpc.max_send_message_length": max_message_size,
        # A fixed window. With grpc's probing, each stream that nobody read grew to 4.5-12 MiB (measured).
        "grpc.http2.bdp_probe": 0,
        "grpc.http2.lookahead_bytes": window,
        # A client that is gone without a word must not hold its calls for ever.
        "grpc.keepalive_time_ms": KEEPALIVE_TIME * 1000,
        "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT * 1000,
        "grpc.keepalive_permit_without_calls": 0,
        "grpc.http2.min_ping_interval_without_data_ms": MIN_PING_INTERVAL * 1000,
        # Clients ask DNS again only when a connection ends: without this, those that are connected would never send a
        # call to a replica that came later (https://github.com/grpc/grpc/issues/12295).
        "grpc.max_connection_age_ms": round(connection_age * 1000),
        "grpc.enable_channelz": int(channelz),
    }
    return grpc.aio.server(interceptors=interceptors, options=list(options.items()))


def add_services(
    server: grpc.aio.Server,
    uploads: upload_service_pb2_grpc.UploadServiceServicer,
    documents: document_service_pb2_grpc.DocumentServiceServicer,
    operations: operations_service_pb2_grpc.OperationsServiceServicer,
) -> None:
    """Add the API. Messages of Upload are read without a copy, see `rpc/wire_reader.py`."""
    upload_service_pb2_grpc.add_UploadServiceServicer_to_server(
        uploads, _Deserializing(server, {"Upload": read_upload_request})
    )
    document_service_pb2_grpc.add_DocumentServiceServicer_to_server(documents, server)
    operations_service_pb2_grpc.add_OperationsServiceServicer_to_server(operations, server)


def add_side_services(
    server: grpc.aio.Server, health: health_pb2_grpc.HealthServicer, *, with_reflection: bool, with_channelz: bool
) -> None:
    """Add what stands beside the API: health always, reflection and channelz where they are switched on."""
    names = [service.full_name for service in SERVICES]
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names.append(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
    if with_channelz:
        channelz.add_channelz_servicer(server)
        names.append(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
    if with_reflection:
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection_servicer(names), server)


class _Deserializing:
    """Stands in for the server while generated code adds a service: some methods get another deserializer."""

    def __init__(self, server: grpc.aio.Server, deserializers: Mapping[str, Callable[[bytes], Any]]) -> None:
        self._server = server
        self._deserializers = deserializers

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Not these: they hold the generated deserializers. The same methods come again, by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Every method of `service`."""
        for name, deserializer in self._deserializers.items():
            handlers = {**handlers, name: handlers[name]._replace(request_deserializer=deserializer)}
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
        self._server.add_registered_method_handlers(service, handlers)
