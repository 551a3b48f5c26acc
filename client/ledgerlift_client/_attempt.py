"""One call of an operation, whichever way it is made: how long it may take, and what its end says. Does no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from ledgerlift_client import errors
from ledgerlift_client._breaker import Permit
from ledgerlift_client._core import ClientCore, given_up, tell_of
from ledgerlift_client._decode import failure
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._policies import Method
from ledgerlift_client._retry import RetryState

OVERDUE = 5.0
"""Seconds behind its deadline after which a call is not waited for any more. grpc ends it at the deadline; should it
ever not, nobody waits for ever."""
CLOSE_PATIENCE = 5.0
"""Seconds that `close` waits for grpc."""
_NEARLY = 0.9
"""A call had its usual time when it had so much of it: the rest went by before it was made."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What all calls of one operation have in common."""

    state: RetryState
    request_id: str

    def again(self, method: Method[Any, Any], error: errors.LedgerLiftError) -> float:
        """Seconds until a short call that failed is made again. Raises `error` when it shall not be."""
        if not (method.idempotent and error.retryable):
            error.attempts = self.state.attempts
            raise error
        seconds = self.state.after(error)
        tell_of(seconds, error)
        return seconds


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Seconds that a call may take, and that such a call is usually given: what is over sooner says nothing."""

    most: float
    usual: float


def short_limit(method: Method[Any, Any], options: ClientOptions, limit: float | None = None) -> TimeLimit:
    """Of one attempt of a short call: `limit` seconds, or what its policy says."""
    most = method.default_timeout if limit is None else limit
    return TimeLimit(most, min(most, options.call_timeout))


def transfer_limit(method: Method[Any, Any], options: ClientOptions) -> TimeLimit:
    """Of one call of a transfer."""
    most = min(method.default_timeout, options.segment_timeout)
    return TimeLimit(most, most)


def watch_limit(method: Method[Any, Any]) -> TimeLimit:
    """Of one call of a watch, which may be silent: a deadline without an answer says nothing of the target."""
    return TimeLimit(method.default_timeout, float("inf"))


def header_of(metadata: Iterable[tuple[str, str | bytes]] | None, name: str) -> str | None:
    """The first header of this name, as text."""
    for found, value in metadata or ():
        if found == name:
            return value if isinstance(value, str) else value.decode()
    return None


class Attempt:
    """A call that the breaker has let through. Tell its end, and in any case `left`."""

    def __init__(self, core: ClientCore, permit: Permit, operation: Operation, limit: TimeLimit, method: str) -> None:
        """`method` is the path on the wire."""
        self._core = core
        self._permit = permit
        self._request_id = operation.request_id
        self.timeout = operation.state.time_left(limit.most)
        """Seconds that it has."""
        core.begins(permit, operation.state)
        self._gave_time = self.timeout >= limit.usual * _NEARLY
        self._span = core.spans.attempt(method, operation.request_id, operation.state.attempts)
        self._code = "CANCELLED"
        self.headers = core.headers(operation.request_id, self._span.headers)
        """The metadata to send."""

    def answered(self) -> None:
        """It succeeded, or a message has come."""
        self._code = "OK"
        self._core.answered(self._permit)

    def failed(self, error: grpc.RpcError | grpc.FutureCancelledError) -> errors.LedgerLiftError:
        """grpc raised `error`; what that means."""
        known = failure(error, self._request_id)
        self._code = known.code.name if known.code is not None else "UNKNOWN"
        self._core.failed(self._permit, known, gave_time=self._gave_time)
        return known

    def overdue(self) -> errors.DeadlineExceeded:
        """grpc did not end it."""
        self._code = "DEADLINE_EXCEEDED"
        error = errors.DeadlineExceeded(
            f"grpc did not end the call {OVERDUE:.0f} s behind its deadline",
            code=grpc.StatusCode.DEADLINE_EXCEEDED,
            request_id=self._request_id,
            retryable=True,
        )
        self._core.failed(self._permit, error, gave_time=self._gave_time)
        return error

    def left(self) -> None:
        """It is over, or given up on this side."""
        given_up(self._permit)
        self._span.ended(self._code)
