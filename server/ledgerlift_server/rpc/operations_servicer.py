"""OperationsService on the wire. Its RPCs answer UNIMPLEMENTED until there are monitor and breakers."""

from __future__ import annotations

from ledgerlift.v1 import operations_service_pb2_grpc


class OperationsServicer(operations_service_pb2_grpc.OperationsServiceServicer):
    """Declared, so that reflection lists it and callers get UNIMPLEMENTED rather than an unknown service."""
