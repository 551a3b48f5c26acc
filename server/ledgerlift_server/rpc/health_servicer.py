"""`grpc.health.v1.Health` on the wire: translate, and never wait for a dependency.

Not grpcio-health-checking's servicer: it holds a lock while it writes to a watcher, so that one watcher whose window
is shut stops every change of that name, the drain's included; its shutdown sets every name to NOT_SERVING, `liveness`
too; and it has no List. Its messages are used here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from ledgerlift_server.health.board import HealthBoard


class HealthServicer(health_pb2_grpc.HealthServicer):
    """What the board says."""

    def __init__(self, board: HealthBoard) -> None:
        """Somebody else keeps the board up to date."""
        self._board = board

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:
        """The last status. NOT_FOUND for a name that nobody knows, as the protocol says."""
        serves = self._board.statuses.get(request.service)
        if serves is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return _response(serves)

    async def List(self, request: pb.HealthListRequest, context: Any) -> pb.HealthListResponse:
        """Every name and its last status."""
        return pb.HealthListResponse(
            statuses={name: _response(serves) for name, serves in self._board.statuses.items()}
        )

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> AsyncIterator[pb.HealthCheckResponse]:
        """The status now, and every change of it. SERVICE_UNKNOWN, and silence, for a name that nobody knows."""
        async for serves in self._board.watch(request.service):
            yield _response(serves)


def _response(serves: bool | None) -> pb.HealthCheckResponse:
    if serves is None:
        return pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
    status = pb.HealthCheckResponse.SERVING if serves else pb.HealthCheckResponse.NOT_SERVING
    return pb.HealthCheckResponse(status=status)
