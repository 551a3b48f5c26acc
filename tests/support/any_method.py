"""A gRPC server that has every method there is, and does one and the same thing in each: hang, or fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

HEALTH = "/grpc.health.v1.Health/Watch"


def hang(context: grpc.ServicerContext) -> None:
    """Answer nothing until the client has gone."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(60)


def fail(code: grpc.StatusCode, reason: str = "") -> Callable[[grpc.ServicerContext], None]:
    """End with `code`; with a `reason` it is LedgerLift's own answer."""

    def act(context: grpc.ServicerContext) -> None:
        status = status_pb2.Status(code=code.value[0], message="always")
        if reason:
            status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="ledgerlift"))
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "always")

    return act


class AnyMethodServer(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc's class has no types
    """Use as a context manager; `target` is where it listens.

    `calls` counts by method, `without_deadline` names those that came without one. Without `health` the standard
    health service is not there, as with a server that does not know it.
    """

    def __init__(self, act: Callable[[grpc.ServicerContext], None], *, health: bool = False) -> None:
        self.act = act
        self.calls: Counter[str] = Counter()
        self.without_deadline: set[str] = set()
        self._health = health
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(32), handlers=[self], options=[("grpc.so_reuseport", 0)])
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> AnyMethodServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    def service(self, handler_call_details: Any) -> Any:
        """Every method is there, and as a stream in both directions it fits every kind of call."""
        method = handler_call_details.method
        if method == HEALTH and not self._health:
            return None

        def handle(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            if method != HEALTH:
                with self._lock:
                    self.calls[method.rpartition("/")[2]] += 1
                    # What has no deadline has three hundred years in grpc's Python.
                    left = context.time_remaining()
                    if left is None or left > 24 * 3600:
                        self.without_deadline.add(method)
            self.act(context)
            yield from ()

        return grpc.stream_stream_rpc_method_handler(handle)
