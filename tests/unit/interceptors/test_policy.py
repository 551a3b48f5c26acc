"""Policies, as the descriptors declare them."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from ledgerlift.v1 import document_service_pb2, operations_service_pb2, policy_pb2, upload_service_pb2
from ledgerlift_server.interceptors.policy import Policy, policies_of

OURS = [
    *upload_service_pb2.DESCRIPTOR.services_by_name.values(),
    *document_service_pb2.DESCRIPTOR.services_by_name.values(),
    *operations_service_pb2.DESCRIPTOR.services_by_name.values(),
]


def test_every_rpc_declares_a_policy() -> None:
    """Each method of each service of the API is there, by its path on the wire."""
    methods = {f"/{service.full_name}/{method.name}" for service in OURS for method in service.methods}
    assert len(methods) == 21
    assert set(policies_of(OURS)) == methods


def test_a_policy_says_what_the_proto_says() -> None:
    """Times in seconds, the role by name, the bulkhead as its enum."""
    assert policies_of(OURS)["/ledgerlift.v1.UploadService/Upload"] == Policy(
        default_timeout=120.0,
        max_timeout=3600.0,
        role="ROLE_WRITER",
        bulkhead=policy_pb2.BULKHEAD_UPLOADS,
        requires=("database", "storage"),
        idempotent=True,
    )


def test_a_method_without_a_policy_is_refused() -> None:
    """The server does not start with an RPC that nobody bounded."""
    with pytest.raises(ValueError, match=r"grpc\.health\.v1\.Health\.\w+ declares no policy"):
        policies_of(health_pb2.DESCRIPTOR.services_by_name.values())


@pytest.mark.parametrize(
    "change",
    [
        {"default_timeout": 0},
        {"default_timeout": 31},
        {"role": policy_pb2.ROLE_UNSPECIFIED},
        {"bulkhead": policy_pb2.BULKHEAD_UNSPECIFIED},
        {"requires": policy_pb2.DEPENDENCY_UNSPECIFIED},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_policy_that_bounds_nothing_is_refused(change: dict[str, int]) -> None:
    """Without a timeout, role or bulkhead, with a default above the longest, or requiring nothing in particular."""
    assert policies_of([service()])
    with pytest.raises(ValueError, match=r"test\.One\.Do"):
        policies_of([service(**change)])


@pytest.mark.parametrize(
    ("level", "expected"), [("IDEMPOTENCY_UNKNOWN", False), ("IDEMPOTENT", True), ("NO_SIDE_EFFECTS", True)]
)
def test_what_is_idempotent_is_what_the_proto_says_is(level: str, expected: bool) -> None:
    """By the standard option; a method that says nothing is not run twice."""
    declared = descriptor_pb2.MethodOptions.IdempotencyLevel.Value(level)
    assert policies_of([service(idempotency_level=declared)])["/test.One/Do"].idempotent is expected


def service(**change: int) -> ServiceDescriptor:
    """A service with one method, whose policy and options are as they should be but for the change."""
    good = {"default_timeout": 10, "max_timeout": 30, "role": 1, "bulkhead": 1, "requires": 1}
    declared = good | {"idempotency_level": 0} | change
    policy = policy_pb2.MethodPolicy(role=declared["role"], bulkhead=declared["bulkhead"])  # type: ignore[arg-type]  # ints
    policy.requires.append(declared["requires"])  # type: ignore[arg-type]  # ints
    policy.default_timeout.seconds = declared["default_timeout"]
    policy.max_timeout.seconds = declared["max_timeout"]
    file = descriptor_pb2.FileDescriptorProto(name="one.proto", package="test", syntax="proto3")
    file.message_type.add(name="Nothing")
    method = file.service.add(name="One").method.add(
        name="Do", input_type=".test.Nothing", output_type=".test.Nothing"
    )
    method.options.Extensions[policy_pb2.policy].CopyFrom(policy)  # type: ignore[index]  # as in policy.py
    method.options.idempotency_level = declared["idempotency_level"]  # type: ignore[assignment]  # an int
    pool = descriptor_pool.DescriptorPool()
    found: ServiceDescriptor = pool.AddSerializedFile(file.SerializeToString()).services_by_name["One"]
    return found
