"""Single calls over one channel, and short calls with their retries. The only place that meets grpc's stubs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import grpc

from ledgerlift_client import _attempt, errors
from ledgerlift_client._attempt import CLOSE_PATIENCE, OVERDUE, Attempt, TimeLimit
from ledgerlift_client._breaker import Permit
from ledgerlift_client._cancel import CancelToken
from ledgerlift_client._core import ClientCore, header_id, log
from ledgerlift_client._policies import Method

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


def serialize(message: Any) -> bytes:
    """A message for the wire."""
    return cast(bytes, message.SerializeToString())


@dataclass(frozen=True, slots=True)
class Operation(_attempt.Operation):
    """An operation that waits on its thread and can be cancelled from another one."""

    cancel: CancelToken | None = None

    def check(self) -> None:
        """Raises Cancelled."""
        if self.cancel is not None:
            self.cancel.check()

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Cancelled."""
        if self.cancel is None:
            time.sleep(seconds)
        elif self.cancel.wait(seconds):
            self.cancel.check()


class RunningCall:
    """A call that is under way."""

    def __init__(self, call: Any, attempt: Attempt, operation: Operation) -> None:
        self._call = call
        self._attempt = attempt
        self._operation = operation

    def result(self) -> Any:
        """The answer. Raises LedgerLiftError."""
        cancel = self._operation.cancel
        try:
            with nullcontext() if cancel is None else cancel.calling(self._call.cancel):
                response = self._call.result(self._attempt.timeout + OVERDUE)
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._failed(error) from error
        except grpc.FutureTimeoutError as error:
            raise self._attempt.overdue() from error
        else:
            self._attempt.answered()
            return response
        finally:
            self.leave()

    def messages(self) -> Iterator[Any]:
        """The answers of a call that gives several. Raises LedgerLiftError."""
        cancel = self._operation.cancel
        try:
            with nullcontext() if cancel is None else cancel.calling(self._call.cancel):
                for message in self._call:
                    self._attempt.answered()
                    yield message
            self._attempt.answered()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._failed(error) from error
        finally:
            self.leave()

    def on_end(self, callback: Callable[[object], None]) -> None:
        """Call `callback` when the call is over, on a thread of grpc's; at once where it is already."""
        self._call.add_done_callback(callback)

    def leave(self) -> None:
        """Cancel it where it is not over. To be called in any case."""
        self._call.cancel()
        self._attempt.left()

    def header(self, name: str) -> str | None:
        """A header of the answer, which is there for a failed call as well. Only behind `result`."""
        return _attempt.header_of(self._call.initial_metadata(), name)

    def _failed(self, error: grpc.RpcError | grpc.FutureCancelledError) -> errors.LedgerLiftError:
        cancel = self._operation.cancel
        if cancel is not None and cancel.cancelled:
            self._attempt.left()
            return errors.Cancelled("cancelled by the caller", request_id=self._operation.request_id)
        return self._attempt.failed(error)


class Calls:
    """Every RPC of one client. Safe to use from several threads."""

    def __init__(self, channel: grpc.Channel, core: ClientCore) -> None:
        self.core = core
        self._channel = channel
        self._made: dict[str, Any] = {}

    def close(self) -> None:
        """Close the channel; calls that are running end. Takes `CLOSE_PATIENCE` at most."""
        self.core.closed = True
        if self.core.forked:
            return  # the channel is the parent's, and closing it would wait for threads that are not here
        # grpc waits in there until its own thread has seen the end of every call, without a bound (grpc#20026).
        closing = threading.Thread(target=self._channel.close, name="ledgerlift-close", daemon=True)
        closing.start()
        closing.join(CLOSE_PATIENCE)
        if closing.is_alive():
            log.warning("grpc did not close the channel in %.0f s; it is left behind", CLOSE_PATIENCE)

    def transfer(self, timeout: float | None, request_id: str, cancel: CancelToken | None) -> Operation:
        """An operation that is a transfer: many calls, as long as it moves, or within `timeout` seconds."""
        return Operation(self.core.transfer_state(timeout), request_id, cancel)

    def short(self, timeout: float | None, request_id: str | None = None) -> Operation:
        """An operation that is one short call."""
        return Operation(self.core.retry_state(timeout), header_id(request_id))

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
        operation = self.short(timeout, request_id)
        with self.core.spans.operation(method.name, operation.request_id):
            while True:
                try:
                    response = self.once(method, request, operation)
                except errors.LedgerLiftError as error:
                    operation.sleep(operation.again(method, error))
                else:
                    operation.state.begun()
                    return response

    def once(
        self,
        method: Method[_Request, _Response],
        request: _Request,
        operation: Operation,
        limit: float | None = None,
    ) -> _Response:
        """A single attempt, which may take `limit` seconds (None: what its policy says)."""
        allowed = _attempt.short_limit(method, self.core.options, limit)
        stub = self._stub(method, self._channel.unary_unary)
        # As a future: a blocking call that Ctrl-C breaks off stays behind in the channel, whose `close` waits for it
        # (grpc#19973).
        return cast(_Response, self._begin(method, stub.future, request, operation, allowed).result())

    def stream(
        self,
        method: Method[_Request, _Response],
        request: _Request,
        operation: Operation,
        limit: TimeLimit,
    ) -> Generator[_Response, None, None]:
        """A single attempt of a call that answers with a stream. Cancelled when the iterator is closed."""
        stub = self._stub(method, self._channel.unary_stream)
        yield from self._begin(method, stub, request, operation, limit).messages()

    def upload(self, method: Method[bytes, _Response], feed: Any, operation: Operation) -> RunningCall:
        """A single attempt of a call that takes serialized messages from `feed`, which it stops at its end."""
        stub = self._stub(method, self._channel.stream_unary, serializer=None)
        limit = _attempt.transfer_limit(method, self.core.options)
        call = self._begin(method, stub.future, feed, operation, limit)
        call.on_end(feed.stop)
        return call

    def _begin(
        self, method: Method[Any, Any], make: Any, request: Any, operation: Operation, limit: TimeLimit
    ) -> RunningCall:
        """Wait for the breaker, and make the call with what time is left then."""
        operation.check()
        while not isinstance(permit := self.core.try_admit(operation.state), Permit):
            operation.sleep(permit)
        attempt = Attempt(self.core, permit, operation, limit, method.path)
        try:
            call = make(request, timeout=attempt.timeout, metadata=attempt.headers)
        except BaseException:
            attempt.left()
            raise
        return RunningCall(call, attempt, operation)

    def _stub(self, method: Method[Any, Any], make: Any, serializer: Any = serialize) -> Any:
        self.core.usable()
        stub = self._made.get(method.path)
        if stub is None:
            stub = make(method.path, request_serializer=serializer, response_deserializer=method.response.FromString)
            self._made[method.path] = stub
        return stub
