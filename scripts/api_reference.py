"""Writes docs/api.md: the API as the protos say it, comments and policies included. Run by scripts/gen-protos."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)
from google.protobuf.duration_pb2 import Duration
from ledgerlift.v1 import policy_pb2

HEADER = """\
# API reference

Package `ledgerlift.v1`. Made by `./scripts/gen-protos` of the comments and policies in
[protos](../protos/ledgerlift/v1): change them, and not this page. A running server says the same to
`grpcurl describe`.

**Refusals.** What each reason means and what to do: [failures.md](failures.md). Beside the reasons that stand with a
method, every method has `INVALID_FIELD`, `UNAUTHENTICATED`, `PERMISSION_DENIED` (without its role),
`DEADLINE_EXCEEDED`, `OVERLOADED` (not in the bulkhead `operations`) and `DEPENDENCY_UNAVAILABLE` (also while the
server starts); what requires a dependency has `CIRCUIT_OPEN` while that one's breaker is open.

**Times.** A call without a deadline gets the default; a later deadline than the longest is cut to that. **Repeating**
a method that is idempotent changes nothing more than calling it once, so that clients may do it.
"""
PACKAGE = ".ledgerlift.v1."
SCALARS = {number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()}
REPEATING = {
    MethodOptions.IDEMPOTENCY_UNKNOWN: "no",
    MethodOptions.IDEMPOTENT: "idempotent",
    MethodOptions.NO_SIDE_EFFECTS: "no side effects",
}


def main(argv: Sequence[str]) -> int:
    """`described.binpb` to stdout."""
    files = FileDescriptorSet.FromString(Path(argv[0]).read_bytes()).file
    sys.stdout.write("\n".join([HEADER, *_page(files)]).rstrip() + "\n")
    return 0


def _page(files: Sequence[FileDescriptorProto]) -> Iterator[str]:
    for file in files:
        comments = _Comments(file)
        for index, service in enumerate(file.service):
            yield f"## {service.name}\n\n{comments.of(6, index)}\n"
            for number, method in enumerate(service.method):
                yield from _method(service.name, method, comments.of(6, index, 2, number))
    yield "## Messages\n"
    for file in files:
        comments = _Comments(file)
        for index, message in enumerate(file.message_type):
            yield from _message(message, comments, (4, index), message.name)
    yield "## Enums\n"
    for file in files:
        comments = _Comments(file)
        for index, enum in enumerate(file.enum_type):
            yield from _enum(enum, comments, (5, index))


class _Comments:
    """What stands above each element of a file, by its path in `SourceCodeInfo`."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._texts = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def of(self, *path: int) -> str:
        """As one paragraph."""
        return " ".join(self._texts.get(path, "").split())


def _method(service: str, method: MethodDescriptorProto, comment: str) -> Iterator[str]:
    extension: Any = policy_pb2.policy
    policy: policy_pb2.MethodPolicy = method.options.Extensions[extension]
    request = ("stream " if method.client_streaming else "") + _link(method.input_type)
    response = ("stream " if method.server_streaming else "") + _link(method.output_type)
    requires = ", ".join(f"`{_short(policy_pb2.Dependency.Name(one))}`" for one in policy.requires) or "nothing"
    reasons = ", ".join(f"`{reason}`" for reason in policy.reasons) or "none"
    role, bulkhead = policy_pb2.Role.Name(policy.role), policy_pb2.Bulkhead.Name(policy.bulkhead)
    yield f"### {service}.{method.name}\n\n({request}) returns ({response})\n\n{comment}\n"
    yield "| default, longest time | role | bulkhead | requires | repeating |\n|---|---|---|---|---|"
    yield (
        f"| {_seconds(policy.default_timeout)}, {_seconds(policy.max_timeout)} | `{role}` | `{_short(bulkhead)}` "
        f"| {requires} | {REPEATING[method.options.idempotency_level]} |\n"
    )
    yield f"Reasons of its own: {reasons}.\n"


def _message(message: DescriptorProto, comments: _Comments, path: tuple[int, ...], name: str) -> Iterator[str]:
    yield f"### {name}\n\n{comments.of(*path)}\n"
    if message.field:
        maps = {inner.name: inner for inner in message.nested_type if inner.options.map_entry}
        yield "| field | type | |\n|---|---|---|"
        for index, field in enumerate(message.field):
            yield f"| `{field.name}` | {_type(message, field, maps)} | {_cell(comments.of(*path, 2, index))} |"
        yield ""
    for index, inner in enumerate(message.nested_type):
        if not inner.options.map_entry:
            yield from _message(inner, comments, (*path, 3, index), f"{name}.{inner.name}")


def _enum(enum: EnumDescriptorProto, comments: _Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### {enum.name}\n\n{comments.of(*path)}\n"
    yield "| value | number | |\n|---|---|---|"
    for index, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {_cell(comments.of(*path, 2, index))} |"
    yield ""


def _type(message: DescriptorProto, field: FieldDescriptorProto, maps: dict[str, DescriptorProto]) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = (_link(part.type_name) or SCALARS[part.type] for part in entry.field)
        return f"map of {key} to {value}"
    kind = _link(field.type_name) or SCALARS[field.type]
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {kind}"
    if field.proto3_optional:
        return f"optional {kind}"
    if field.HasField("oneof_index"):
        return f"{kind}, one of `{message.oneof_decl[field.oneof_index].name}`"
    return kind


def _link(type_name: str) -> str:
    """A type of ours with a link, another one by its name; nothing for a scalar."""
    name = type_name.removeprefix(PACKAGE)
    if name == type_name:
        return f"`{name.lstrip('.')}`" if name else ""
    return f"[{name}](#{name.lower().replace('.', '')})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _short(value: str) -> str:
    return re.sub(r"^[A-Z]+_", "", value).lower()


def _seconds(duration: Duration) -> str:
    return f"{duration.ToTimedelta().total_seconds():g} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
