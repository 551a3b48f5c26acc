"""The service itself, as its operators see it through the client. Each method translates and delegates."""

# ruff: noqa: ASYNC109 - `timeout` is sent with the calls and bounds their retries; asyncio.timeout would only cancel

from __future__ import annotations

from ledgerlift.v1 import operations_service_pb2 as operations

from ledgerlift_client import _convert_operations, _policies
from ledgerlift_client._aio._calls import Calls
from ledgerlift_client._operations_models import CircuitBreaker, HealthReport, StorageStats


class OperationsMethods:
    """The part of `AsyncLedgerLiftClient` that is for operators."""

    _calls: Calls

    async def health(self, *, timeout: float | None = None) -> HealthReport:
        """The report of the process that answers, made in the background: none of it waits for a dependency."""
        answer = await self._calls.call(_policies.GET_HEALTH, operations.GetHealthRequest(), timeout=timeout)
        return _convert_operations.health_report(answer.report)

    async def circuit_breakers(self, *, timeout: float | None = None) -> tuple[CircuitBreaker, ...]:
        """The breakers of the server's process that answers, by name."""
        request = operations.GetCircuitBreakersRequest()
        answer = await self._calls.call(_policies.GET_BREAKERS, request, timeout=timeout)
        return tuple(map(_convert_operations.breaker, answer.breakers))

    async def reset_circuit_breaker(self, name: str, *, timeout: float | None = None) -> CircuitBreaker:
        """Close a breaker of the server's process that answers. Raises InvalidArgument for a name it has not."""
        request = operations.ResetCircuitBreakerRequest(name=name)
        answer = await self._calls.call(_policies.RESET_BREAKER, request, timeout=timeout)
        return _convert_operations.breaker(answer.breaker)

    async def storage_stats(self, *, timeout: float | None = None) -> StorageStats:
        """What the server's process that answers asked of the object store, and how long that took."""
        request = operations.GetStorageStatsRequest()
        answer = await self._calls.call(_policies.GET_STORAGE_STATS, request, timeout=timeout)
        return _convert_operations.storage_stats(answer.stats)
