"""Who is calling. The answer owns what it creates, and is all that a query of its may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ledgerlift.v1 import policy_pb2

from ledgerlift_server.domain.models import Caller
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.request_id import current_request_id
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.observability import logs
from ledgerlift_server.rpc.caller import current_caller


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller's name, and the names of its `ledgerlift.v1.Role` values."""

    subject: str
    roles: frozenset[str]


class Authenticator(Protocol):
    """Finds out who is calling."""

    async def identify(self, context: Any) -> Identity:
        """The caller, by what the call's servicer context says of it. Raises Unauthenticated."""


class Anybody:
    """AUTH_MODE=none: everyone is `anonymous` and may do everything."""

    _IDENTITY = Identity("anonymous", frozenset(policy_pb2.Role.keys()) - {"ROLE_UNSPECIFIED"})

    async def identify(self, context: Any) -> Identity:
        """The same for everyone."""
        return self._IDENTITY


class Authentication(CallInterceptor):
    """Sets the caller of the call. Methods without a policy (health, reflection) have none."""

    def __init__(self, policies: Policies, authenticator: Authenticator) -> None:
        """`authenticator` is asked once for each call."""
        self._policies = policies
        self._authenticator = authenticator

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises Unauthenticated where the caller cannot be told."""
        if call.method in self._policies:
            identity = await self._authenticator.identify(call.context)
            logs.bind(owner=identity.subject)
            current_caller.set(Caller(identity.subject, identity.roles, current_request_id.get()))
        return await proceed()
