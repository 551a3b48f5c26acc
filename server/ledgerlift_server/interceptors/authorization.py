"""May this caller use this method? The role that it takes stands in the method's policy."""

from __future__ import annotations

from typing import Any

from ledgerlift_server.errors import PermissionDenied
from ledgerlift_server.interceptors.policy import Policies
from ledgerlift_server.interceptors.wrap import Call, CallInterceptor, Proceed
from ledgerlift_server.rpc.caller import current_caller


class Authorization(CallInterceptor):
    """Lets those through who hold the role. What they may see within a method is the repository's business."""

    def __init__(self, policies: Policies) -> None:
        """`policies` name the roles."""
        self._policies = policies

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Raises PermissionDenied without the role."""
        policy = self._policies.get(call.method)
        if policy is not None and policy.role not in current_caller.get().roles:
            raise PermissionDenied(f"{call.method.lstrip('/')} takes the role {policy.role}")
        return await proceed()
