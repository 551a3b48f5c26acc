"""The policies that `protos` declare, by method, read from the descriptors at start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from ledgerlift.v1 import policy_pb2

_EXTENSION: Any = policy_pb2.policy  # protoc's .pyi types it as a plain FieldDescriptor


@dataclass(frozen=True, slots=True)
class Policy:
    """What one method's `(ledgerlift.v1.policy)` says, and its `idempotency_level`.

    Times in seconds; `role` is a name of `ledgerlift.v1.Role`; `requires` names dependencies: `database`, `storage`.
    """

    default_timeout: float
    max_timeout: float
    role: str
    bulkhead: policy_pb2.Bulkhead
    requires: Sequence[str]
    idempotent: bool


Policies = Mapping[str, Policy]
"""By path on the wire, `/package.Service/Method`. Methods of others (health, reflection) have none."""


def policies_of(services: Iterable[ServiceDescriptor]) -> Policies:
    """The policy of every method of `services`. Raises ValueError for a method without one."""
    return {
        f"/{service.full_name}/{method.name}": _policy_of(method)
        for service in services
        for method in service.methods
    }


def _policy_of(method: MethodDescriptor) -> Policy:
    options = method.GetOptions()
    if not options.HasExtension(_EXTENSION):
        raise ValueError(f"{method.full_name} declares no policy")
    declared: policy_pb2.MethodPolicy = options.Extensions[_EXTENSION]
    policy = Policy(
        default_timeout=declared.default_timeout.ToTimedelta().total_seconds(),
        max_timeout=declared.max_timeout.ToTimedelta().total_seconds(),
        role=policy_pb2.Role.Name(declared.role),
        bulkhead=declared.bulkhead,
        requires=tuple(_dependency_name(dependency) for dependency in declared.requires),
        idempotent=options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
    )
    if not 0 < policy.default_timeout <= policy.max_timeout:
        raise ValueError(f"{method.full_name}: default_timeout must be more than 0 and at most max_timeout")
    if policy_pb2.DEPENDENCY_UNSPECIFIED in declared.requires:
        raise ValueError(f"{method.full_name}: requires names no dependency")
    if not declared.role or not declared.bulkhead:
        raise ValueError(f"{method.full_name}: role and bulkhead must be set")
    return policy


def _dependency_name(dependency: policy_pb2.Dependency) -> str:
    return policy_pb2.Dependency.Name(dependency).removeprefix("DEPENDENCY_").lower()
