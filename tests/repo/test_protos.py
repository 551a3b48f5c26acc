"""Every RPC says how it may be called, and everything in the protos is explained."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodOptions,
)
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from ledgerlift.v1 import document_service_pb2, operations_service_pb2, policy_pb2, upload_service_pb2

from tests.support.programs import run
from tests.support.tools import ROOT

PROTOS = ROOT / "protos"
LONGEST_UNARY_SECONDS = 30  # "every unary RPC answers within 30 s, whatever hangs"


def _files() -> list[str]:
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))


def _methods() -> list[MethodDescriptor]:
    loaded = (document_service_pb2, operations_service_pb2, upload_service_pb2, policy_pb2)
    assert loaded, "imported so that the pool knows them"
    services = [service for name in _files() for service in Default().FindFileByName(name).services_by_name.values()]
    return [method for service in services for method in service.methods]


def _policy(method: MethodDescriptor) -> policy_pb2.MethodPolicy:
    options: MethodOptions = method.GetOptions()
    assert options.HasExtension(policy_pb2.policy), f"{method.full_name} declares no policy"
    return options.Extensions[policy_pb2.policy]


@pytest.mark.parametrize("method", _methods(), ids=lambda method: str(method.full_name))
def test_every_rpc_declares_its_policy(method: MethodDescriptor) -> None:
    """Deadlines, role, bulkhead and idempotency stand in the proto of every RPC."""
    policy = _policy(method)
    assert (
        0 < policy.default_timeout.ToTimedelta().total_seconds() <= policy.max_timeout.ToTimedelta().total_seconds()
    )
    assert policy.role != policy_pb2.ROLE_UNSPECIFIED
    assert policy.bulkhead != policy_pb2.BULKHEAD_UNSPECIFIED
    assert policy_pb2.DEPENDENCY_UNSPECIFIED not in policy.requires
    assert len(set(policy.requires)) == len(policy.requires)
    assert method.GetOptions().HasField("idempotency_level"), "retries on both sides are decided by this"


@pytest.mark.parametrize("method", _methods(), ids=lambda method: str(method.full_name))
def test_no_unary_rpc_may_last_longer_than_promised(method: MethodDescriptor) -> None:
    """A call that is not a stream ends within 30 s."""
    if not method.client_streaming and not method.server_streaming:
        assert _policy(method).max_timeout.ToSeconds() <= LONGEST_UNARY_SECONDS


def test_only_the_standard_protos_are_imported() -> None:
    """A caller needs nothing but these files and protoc to make a client."""
    for name in _files():
        for dependency in Default().FindFileByName(name).dependencies:
            assert dependency.name.startswith(("google/protobuf/", "ledgerlift/v1/"))


def test_everything_is_explained(tmp_path: Path) -> None:
    """Every service, RPC, message, field, enum and value carries a comment: the API reference is made of them."""
    image = tmp_path / "protos.binpb"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}", "--include_source_info"),
            *(f"--descriptor_set_out={image}", *_files()),
        ],
        cwd=PROTOS,
        check=True,
    )
    files = FileDescriptorSet.FromString(image.read_bytes()).file
    assert len(files) == len(_files())
    silent = [f"{file.name}: {name}" for file in files for name in _unexplained(file)]
    assert silent == []


def _unexplained(file: FileDescriptorProto) -> Iterator[str]:
    explained = {tuple(place.path) for place in file.source_code_info.location if place.leading_comments.strip()}
    for path, name in _elements(file):
        if path not in explained:
            yield name


def _elements(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Path (as in `SourceCodeInfo`) and name of everything that wants a comment."""
    for message_path, message in _children(file, "message_type", ()):
        yield from _message(message_path, message)
    for enum_path, enum in _children(file, "enum_type", ()):
        yield from _enum(enum_path, enum)
    for service_path, service in _children(file, "service", ()):
        yield service_path, service.name
        yield from ((path, rpc.name) for path, rpc in _children(service, "method", service_path))
    yield from ((path, extension.name) for path, extension in _children(file, "extension", ()))


def _message(path: tuple[int, ...], message: DescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    if message.options.map_entry:
        return
    yield path, message.name
    yield from ((at, f"{message.name}.{field.name}") for at, field in _children(message, "field", path))
    for at, inner in _children(message, "nested_type", path):
        yield from _message(at, inner)
    for at, enum in _children(message, "enum_type", path):
        yield from _enum(at, enum)


def _enum(path: tuple[int, ...], enum: EnumDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, enum.name
    yield from ((at, value.name) for at, value in _children(enum, "value", path))


def _children(parent: Message, field: str, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Any]]:
    number = parent.DESCRIPTOR.fields_by_name[field].number
    for index, child in enumerate(getattr(parent, field)):
        yield (*path, number, index), child


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what `scripts/gen-protos` works on."""
    for name in ("protos", "generated", "scripts", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def test_the_protos_pass_their_check(copy: Path) -> None:
    """Lint, format, generated code and compatibility with what landed are all in step."""
    assert run(copy / "scripts/gen-protos", "--check").returncode == 0


def test_a_breaking_change_is_refused(copy: Path) -> None:
    """Taking a field away is refused by name, and generates nothing, unless it is said to be meant."""
    proto = copy / "protos/ledgerlift/v1/document.proto"
    before, field, after = proto.read_text().partition("  string error_message = 10;\n")
    assert field
    proto.write_text(before.rsplit("\n  //", 1)[0] + "\n" + after)

    refused = run(copy / "scripts/gen-protos")
    assert refused.returncode != 0
    assert 'field "10" with name "error_message"' in refused.stdout + refused.stderr
    assert "error_message" in (copy / "generated/ledgerlift/v1/document_pb2.pyi").read_text()

    assert run(copy / "scripts/gen-protos", "--accept-breaking").returncode == 0
    assert "error_message" not in (copy / "generated/ledgerlift/v1/document_pb2.pyi").read_text()
    assert run(copy / "scripts/gen-protos", "--check").returncode == 0


def test_the_reference_is_not_edited_by_hand(copy: Path) -> None:
    """docs/api.md is what the protos say, or the check fails and says what to run."""
    page = copy / "docs/api.md"
    page.write_text(page.read_text().replace("120 s, 3600 s", "120 s, 7200 s", 1))
    edited = run(copy / "scripts/gen-protos", "--check")
    assert edited.returncode != 0
    assert "docs/api.md is not what the protos say: run ./scripts/gen-protos" in edited.stderr


def test_a_change_that_was_not_generated_is_noticed(copy: Path) -> None:
    """A new field without a run of `scripts/gen-protos` fails the check, which says what to run."""
    proto = copy / "protos/ledgerlift/v1/document.proto"
    proto.write_text(proto.read_text() + "\n// Extra.\nmessage Extra {\n  // Extra.\n  string extra = 1;\n}\n")

    late = run(copy / "scripts/gen-protos", "--check")
    assert late.returncode != 0
    assert "run ./scripts/gen-protos" in late.stderr

    assert run(copy / "scripts/gen-protos").returncode == 0
    assert run(copy / "scripts/gen-protos", "--check").returncode == 0
