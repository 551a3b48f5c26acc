"""OperationsService on the wire: translate and delegate."""

from __future__ import annotations

from typing import Any

from ledgerlift.v1 import operations_service_pb2 as pb
from ledgerlift.v1 import operations_service_pb2_grpc

from ledgerlift_server.health.operations import Operations
from ledgerlift_server.rpc import convert_operations as convert
from ledgerlift_server.rpc.caller import current_caller


class OperationsServicer(operations_service_pb2_grpc.OperationsServiceServicer):
    """What operators see and do. No method waits for a dependency."""

    def __init__(self, operations: Operations) -> None:
        """The one behind all methods."""
        self._operations = operations

    async def GetHealth(self, request: pb.GetHealthRequest, context: Any) -> pb.GetHealthResponse:
        """See `OperationsService` in `protos`."""
        return pb.GetHealthResponse(report=convert.report_message(self._operations.health()))

    async def GetCircuitBreakers(
        self, request: pb.GetCircuitBreakersRequest, context: Any
    ) -> pb.GetCircuitBreakersResponse:
        """See `OperationsService` in `protos`."""
        return pb.GetCircuitBreakersResponse(breakers=map(convert.breaker_message, self._operations.breakers()))

    async def ResetCircuitBreaker(
        self, request: pb.ResetCircuitBreakerRequest, context: Any
    ) -> pb.ResetCircuitBreakerResponse:
        """See `OperationsService` in `protos`."""
        breaker = self._operations.reset_breaker(request.name, by=current_caller.get().subject)
        return pb.ResetCircuitBreakerResponse(breaker=convert.breaker_message(breaker))

    async def GetStorageStats(self, request: pb.GetStorageStatsRequest, context: Any) -> pb.GetStorageStatsResponse:
        """See `OperationsService` in `protos`."""
        return pb.GetStorageStatsResponse(stats=convert.stats_message(self._operations.storage_stats()))
