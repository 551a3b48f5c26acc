"""Requests as an enemy, or a defect, would make them: of any message, from its descriptor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

INT32S = (0, 1, -1, 2, 100, 1001, 2**31 - 1, -(2**31))
INT64S = (*INT32S, 64, 2**32, 2**53, 2**63 - 1, -(2**63))
UNSIGNED = (0, 1, 2**31, 2**32 - 1)
TEXTS = (
    "",
    "a",
    "0" * 64,
    "A" * 64,
    "\0",
    "a\0b",
    "..",
    "../../etc/passwd",
    "a/b\\c",
    "%s%n{0}{x!r}",
    "' OR 1=1; DROP TABLE sessions; --",
    "%' ESCAPE '\\",
    "_%",
    "\u202egnp.exe",
    "\u0000\u0001\u001f\u007f",
    "\ud7ff\ue000\ufffe\uffff\U0010ffff",
    "e\u0301" * 20,
    "\U0001f4a9" * 300,
    "x" * 256,
    "x" * 5000,
    "*/*",
    "application/pdf",
    "text/plain; charset=\x7f",
    "01900000-0000-7000-8000-000000000000",
    "01900000-0000-7000-8000-00000000000G",
    "{01900000-0000-7000-8000-000000000000}",
    "AAAA",
    "eyJhIjoxfQ==",
    "-1",
    "NaN",
    "\r\nx-injected: 1",
)
BLOBS = (b"", b"\0", b"%PDF-1.7 not", b"PK\x03\x04", b"\xff" * 300, b"x" * 70_000)
DEEP = 3
"""Messages in messages, at the most."""


def messages(descriptor: Descriptor, known: Sequence[str]) -> st.SearchStrategy[Message]:
    """Any message of that type. `known` are ids and tokens that mean something to the server."""
    made: Callable[[], Message] = message_factory.GetMessageClass(descriptor)
    return _filled(descriptor, known, DEEP).map(lambda fill: _apply(made(), fill))


def spoiled(right: Message, known: Sequence[str]) -> st.SearchStrategy[Message]:
    """A message that would be taken, but for one or two of its fields: what stands behind the first checks."""
    changes = st.lists(_one_field(right.DESCRIPTOR, known, DEEP), max_size=2)
    return changes.map(lambda fills: _spoilt(right, fills))


def mutated(descriptor: Descriptor, known: Sequence[str]) -> st.SearchStrategy[bytes]:
    """A message with some bytes changed, lost or added; or no message at all."""
    return st.binary(max_size=60) | st.builds(
        _damaged,
        messages(descriptor, known).map(lambda message: message.SerializeToString()),
        st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=4),
    )


def _damaged(raw: bytes, changes: Sequence[tuple[int, int, bytes]]) -> bytes:
    out = bytearray(raw)
    for position, lost, added in changes:
        at = position % (len(out) + 1)
        out[at : at + lost] = added
    return bytes(out)


def _spoilt(right: Message, fills: Sequence[dict[str, Any]]) -> Message:
    message = type(right)()
    message.CopyFrom(right)
    for fill in fills:
        _apply(message, fill)
    return message


def _one_field(descriptor: Any, known: Sequence[str], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of([_under(field, known, depth) for field in descriptor.fields])


def _under(field: FieldDescriptor, known: Sequence[str], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    inner = field.message_type
    single = inner is not None and not field.is_repeated and depth > 0
    values = _one_field(inner, known, depth - 1) if single else _values(field, known, depth)
    return st.just({}) if values is None else values.map(lambda value: {field.name: value})


def _filled(descriptor: Descriptor, known: Sequence[str], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Values by field name; each field may be missing."""
    fields = {field.name: _values(field, known, depth) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional={name: values for name, values in fields.items() if values is not None})


def _values(field: FieldDescriptor, known: Sequence[str], depth: int) -> st.SearchStrategy[Any] | None:
    one = _value(field, known, depth)
    if one is None:
        return None
    if not field.is_repeated:
        return one
    return st.lists(one, max_size=4) | one.map(lambda value: [value] * 70)


def _value(field: FieldDescriptor, known: Sequence[str], depth: int) -> st.SearchStrategy[Any] | None:
    kind = FieldDescriptor
    match field.cpp_type:
        case kind.CPPTYPE_MESSAGE:
            inner = cast(Descriptor, field.message_type)
            return None if depth == 0 else _filled(inner, known, depth - 1)
        case kind.CPPTYPE_STRING if field.type == kind.TYPE_BYTES:
            return st.sampled_from(BLOBS) | st.binary(max_size=40)
        case kind.CPPTYPE_STRING:
            return st.sampled_from((*known, *TEXTS)) | st.sampled_from(known or TEXTS) | st.text(max_size=12)
        case kind.CPPTYPE_ENUM:
            return st.sampled_from(
                (*(value.number for value in cast(EnumDescriptor, field.enum_type).values), 99, -1, 2**31 - 1)
            )
        case kind.CPPTYPE_BOOL:
            return st.booleans()
        case kind.CPPTYPE_INT32:
            return st.sampled_from(INT32S)
        case kind.CPPTYPE_INT64:
            return st.sampled_from(INT64S)
        case kind.CPPTYPE_UINT32 | kind.CPPTYPE_UINT64:
            return st.sampled_from(UNSIGNED)
        case kind.CPPTYPE_DOUBLE | kind.CPPTYPE_FLOAT:
            return st.floats(width=32)
    raise AssertionError(f"{field.full_name} is of a type that nobody thought of")


def _apply(message: Any, fill: dict[str, Any]) -> Any:
    """Of a oneof the last one stays; entries of a map are messages of a key and a value."""
    for name, value in fill.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        target = getattr(message, name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for entry in value:
                target[entry.get("key", "")] = entry.get("value", "")
        elif field.is_repeated and field.message_type is not None:
            for one in value:
                _apply(target.add(), one)
        elif field.is_repeated:
            target.extend(value)
        elif field.message_type is not None:
            target.SetInParent()
            _apply(target, value)
        else:
            setattr(message, name, value)
    return message
