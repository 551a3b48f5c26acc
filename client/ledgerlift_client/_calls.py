"""Single calls over one channel, and short calls with their retries. The only place that meets grpc's exceptions."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Generator, Iterator
from typing import Any, TypeVar, cast

import grpc

from ledgerlift_client import errors
from ledgerlift_client._decode import decode
from ledgerlift_client._options import ClientOptions
from ledgerlift_client._policies import Method
from ledgerlift_client._retry import Backoff, RetryState

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

REQUEST_ID_HEADER = "x-request-id"
_MOST_ID_CHARACTERS = 128

log = logging.getLogger("ledgerlift_client")


def _serialize(message: Any) -> bytes:
    return cast(bytes, message.SerializeToString())


class Calls:
    """Every RPC of one client. Safe to use from several threads."""

    def __init__(self, channel: grpc.Channel, options: ClientOptions) -> None:
        self.options = options
        self._channel = channel
        self._closed = False
        self._answered = False
        self._made: dict[str, Any] = {}

    def close(self) -> None:
        """Close the channel; calls that are running end."""
        self._closed = True
        self._channel.close()

    def retry_state(self, timeout: float) -> RetryState:
        """The retries of a short call: within `timeout` seconds, at most `max_attempts`."""
        return RetryState(
            self._backoff(), deadline=time.monotonic() + timeout, max_attempts=self.options.max_attempts
        )

    def transfer_state(self, timeout: float | None) -> RetryState:
        """The retries of a transfer: as long as it moves, or within `timeout` seconds.

        The number of attempts counts only as long as nobody has ever answered: the target may be wrong.
        """
        limit = timeout if timeout is not None else self.options.transfer_timeout
        return RetryState(
            self._backoff(),
            deadline=None if limit is None else time.monotonic() + limit,
            max_attempts=None if self._answered else self.options.max_attempts,
            patience=self.options.patience,
        )

    def call(
        self,
        method: Method[_Request, _Response],
        request: _Request,
        *,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> _Response:
        """One short call, tried again while its failures may pass and its method is idempotent.

        `timeout` is for all attempts together. Raises any LedgerLiftError.
        """
        state = self.retry_state(self.options.call_timeout if timeout is None else timeout)
        sent_id = header_id(request_id)
        while True:
            try:
                return self.once(method, request, timeout=state.time_left(method.default_timeout), request_id=sent_id)
            except errors.LedgerLiftError as error:
                if not (method.idempotent and error.retryable):
                    error.attempts = state.attempts
                    raise
                pause(state.after(error), error)

    def once(
        self, method: Method[_Request, _Response], request: _Request, *, timeout: float, request_id: str
    ) -> _Response:
        """A single attempt."""
        stub = self._stub(method, self._channel.unary_unary)
        try:
            response = stub(request, timeout=timeout, metadata=((REQUEST_ID_HEADER, request_id),))
        except grpc.RpcError as error:
            raise failure(error, request_id) from error
        self._answered = True
        return cast(_Response, response)

    def stream(
        self, method: Method[_Request, _Response], request: _Request, *, timeout: float, request_id: str
    ) -> Generator[_Response, None, None]:
        """A single attempt of a call that answers with a stream. Cancelled when the iterator is closed."""
        stub = self._stub(method, self._channel.unary_stream)
        call = stub(request, timeout=timeout, metadata=((REQUEST_ID_HEADER, request_id),))
        try:
            for message in call:
                self._answered = True
                yield message
        except grpc.RpcError as error:
            raise failure(error, request_id) from error
        finally:
            call.cancel()

    def upload(
        self, method: Method[bytes, _Response], messages: Iterator[bytes], *, timeout: float, request_id: str
    ) -> Any:
        """A single attempt of a call that takes a stream of serialized messages: grpc's call object."""
        return self._stub(method, self._channel.stream_unary, serialize=None).future(
            messages, timeout=timeout, metadata=((REQUEST_ID_HEADER, request_id),)
        )

    def _stub(self, method: Method[Any, Any], make: Any, serialize: Any = _serialize) -> Any:
        if self._closed:
            raise RuntimeError("this LedgerLiftClient is closed")
        stub = self._made.get(method.path)
        if stub is None:
            stub = make(method.path, request_serializer=serialize, response_deserializer=method.response.FromString)
            self._made[method.path] = stub
        return stub

    def _backoff(self) -> Backoff:
        return Backoff(self.options.backoff_base, self.options.backoff_cap)


def failure(error: grpc.RpcError | grpc.FutureCancelledError, request_id: str) -> errors.LedgerLiftError:
    """The LedgerLiftError for what grpc raised."""
    if isinstance(error, grpc.FutureCancelledError):
        return decode(grpc.StatusCode.CANCELLED, "the call was cancelled on this side", (), request_id=request_id)
    call = cast(grpc.Call, error)
    return decode(call.code(), call.details() or "", call.trailing_metadata() or (), request_id=request_id)


def header_id(wanted: str | None) -> str:
    """An id for a call's header: `wanted` where a header can carry it (printable ASCII), a new one elsewhere."""
    if wanted and len(wanted) <= _MOST_ID_CHARACTERS and wanted.isascii() and wanted.isprintable():
        return wanted
    return str(uuid.uuid4())


def pause(seconds: float, error: errors.LedgerLiftError | None) -> None:
    """Wait before the next attempt; where a failure is the cause, say so in the log."""
    if error is not None:
        log.warning(
            "%s (%s); trying again in %.1f s [request_id=%s]",
            error.message,
            error.reason or (error.code.name if error.code is not None else type(error).__name__),
            seconds,
            error.request_id,
        )
    time.sleep(seconds)
