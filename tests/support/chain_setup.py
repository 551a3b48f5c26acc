"""The chain of interceptors over methods of every shape, with one part of it as the test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status
from ledgerlift.v1 import policy_pb2
from ledgerlift_server.interceptors.admission import Admission
from ledgerlift_server.interceptors.authentication import Anybody
from ledgerlift_server.interceptors.breaker import Breakers
from ledgerlift_server.interceptors.chain import build_chain
from ledgerlift_server.interceptors.lifecycle import Lifecycle
from ledgerlift_server.interceptors.policy import Policy
from ledgerlift_server.interceptors.retry import Retries
from ledgerlift_server.resilience.retry import RetryBudget, RetryPolicy
from ledgerlift_server.rpc.status import DETAILS_TRAILER

from tests.support.shapes import SERVICE, SHAPES, Script, handlers, listening, serving

MADE_ID = "made-by-the-server"

AT_ONCE = RetryPolicy(first_pause=0.0, longest_pause=0.0, max_attempts=3, patience=60.0)
"""Three attempts without a pause."""

every_shape = pytest.mark.parametrize("shape", SHAPES)


class Setup:
    """A chain over methods that all have the same policy, or none."""

    def __init__(self, *, bulkhead: int = policy_pb2.BULKHEAD_QUERIES, **options: Any) -> None:
        """`options` replace those of the policy and of the chain; `slots` by bulkhead, `breakers` by name."""
        policy = Policy(
            default_timeout=options.pop("default_timeout", 10.0),
            max_timeout=options.pop("max_timeout", 30.0),
            role="ROLE_WRITER",
            bulkhead=bulkhead,  # type: ignore[arg-type]  # enum values are ints at run time
            requires=options.pop("requires", ()),
            idempotent=options.pop("idempotent", True),
        )
        policies = {f"/{SERVICE}/{shape}": policy for shape in SHAPES} if options.pop("policy", True) else {}
        self.lifecycle = Lifecycle(policies)
        if options.pop("started", True):
            self.lifecycle.open()
        chain: dict[str, Any] = {
            "authenticator": Anybody(),
            "lifecycle": self.lifecycle,
            "admission": Admission(policies, options.pop("slots", {}), jitter=lambda: 0.5),
            "breakers": Breakers(policies, options.pop("breakers", {})),
            "retries": Retries(
                policies,
                options.pop("retry", AT_ONCE),
                options.pop("budget", RetryBudget(100, 0.0)),
                jitter=lambda: 0.999,
            ),
            "lowered_timeouts": {},
            "new_id": lambda: MADE_ID,
            "log_calls": True,
            "metrics": None,
        }
        self.interceptors = build_chain(policies, **(chain | options))

    def serving(self, script: Script) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A server whose methods do `script`."""
        return serving(handlers(script), self.interceptors)

    def listening(self, script: Script) -> AbstractAsyncContextManager[str]:
        """The same by its address."""
        return listening(handlers(script), self.interceptors)


async def nothing(_context: Any) -> None:
    """A method that answers at once."""


async def hang(_context: Any) -> None:
    """A method that never answers."""
    await asyncio.Event().wait()


def failing(error: Exception) -> Script:
    """A method that ends in `error`."""

    async def fail(_context: Any) -> None:
        raise error

    return fail


def details_of(trailers: dict[str, str | bytes], kind: Callable[[], Any]) -> Any:
    """The detail of this kind in the rich status."""
    status = Status.FromString(trailers[DETAILS_TRAILER])  # type: ignore[arg-type]  # `-bin` values are bytes
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    raise AssertionError(f"no {kind} in {status}")
