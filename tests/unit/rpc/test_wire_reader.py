"""`rpc/wire_reader.py` against the generated parser: the same fields, or both refuse, for whatever bytes come."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ledgerlift.v1 import upload_service_pb2 as pb
from ledgerlift_server.rpc.wire_reader import MalformedMessage, WireMessage, read_upload_request

SMALL_FIELDS = ("accept_partial", "data", "finish_write", "sha256")
OPTIONAL_FIELDS = ("spec", "upload_id", "write_offset", "crc32c", "size")


def by_generated_parser(raw: bytes) -> dict[str, Any] | None:
    """The fields as the generated parser sees them; None where it refuses."""
    try:
        message = pb.UploadRequest.FromString(raw)
    except DecodeError:
        return None
    fields = {name: getattr(message, name) for name in SMALL_FIELDS}
    return fields | {name: getattr(message, name) if message.HasField(name) else None for name in OPTIONAL_FIELDS}


def by_reader(raw: bytes) -> dict[str, Any] | None:
    """The fields as the reader sees them; None where it refuses."""
    try:
        message = read_upload_request(raw)
    except MalformedMessage:
        return None
    fields = {name: getattr(message, name) for name in WireMessage.__slots__}
    return fields | {"data": bytes(message.data)}


def varint(number: int, padding: int = 0) -> bytes:
    """`number` as two's complement on the wire, with `padding` bytes more than it needs."""
    number &= 2**64 - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def delimited(content: bytes) -> bytes:
    """Length and content."""
    return varint(len(content)) + content


specs = st.builds(
    pb.UploadSpec,
    filename=st.text(max_size=8),
    content_type=st.sampled_from(["", "application/pdf"]),
    size=st.none() | st.integers(-(2**63), 2**63 - 1),
    metadata=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    duplicate_policy=st.sampled_from([0, 3]),
)
targets: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}), specs.map(lambda spec: {"spec": spec}), st.text(max_size=40).map(lambda name: {"upload_id": name})
)
int64s = st.none() | st.integers(0, 2**62) | st.integers(-(2**63), 2**63 - 1)
plain_int64s = st.none() | st.integers(0, 2**62)


def requests(numbers: st.SearchStrategy[int | None]) -> st.SearchStrategy[bytes]:
    """Serialized messages as a client makes them."""
    return st.builds(
        lambda target, **rest: pb.UploadRequest(**target, **rest).SerializeToString(),
        targets,
        accept_partial=st.booleans(),
        write_offset=numbers,
        data=st.binary(max_size=300),
        crc32c=st.none() | st.integers(0, 2**32 - 1),
        finish_write=st.booleans(),
        sha256=st.text("0123456789abcdef", max_size=64),
        size=numbers,
    )


spec_bytes = specs.map(pb.UploadSpec.SerializeToString)
contents = st.binary(max_size=12) | spec_bytes | st.text(max_size=6).map(str.encode)
numbers = st.builds(varint, st.integers(0, 2**64 - 1) | st.integers(0, 300), st.integers(0, 9))
payloads = {
    0: numbers,
    1: st.binary(min_size=8, max_size=8),
    2: contents.map(delimited) | st.builds(lambda n, c: n + c, numbers, contents),
    3: st.binary(max_size=3),
    4: st.just(b""),
    5: st.binary(min_size=4, max_size=4),
}
WIRE_TYPES = {1: 2, 2: 2, 3: 0, 4: 0, 5: 2, 6: 5, 7: 0, 8: 2, 9: 0}


def field(number: int, wire_type: int) -> st.SearchStrategy[bytes]:
    """Any field of that number in that wire type."""
    return payloads[wire_type].map(lambda payload: varint(number << 3 | wire_type) + payload)


known_fields = st.sampled_from(sorted(WIRE_TYPES)).flatmap(lambda number: field(number, WIRE_TYPES[number]))
any_fields = st.tuples(st.integers(0, 20), st.integers(0, 5)).flatmap(lambda tag: field(*tag))
field_soup = st.lists(known_fields | known_fields | any_fields, max_size=12).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid message, or a few of them in a row, with some bytes changed, lost or added."""
    raw = bytearray(b"".join(draw(st.lists(requests(int64s), min_size=1, max_size=2))))
    for _ in range(draw(st.integers(0, 4))):
        position = draw(st.integers(0, len(raw)))
        lost = draw(st.integers(0, 3))
        raw[position : position + lost] = draw(st.binary(max_size=3))
    return bytes(raw)


def nested_groups(depth: int) -> bytes:
    """An unknown field that is `depth` groups deep."""
    return b"\xfb\x01" * depth + b"\xfc\x01" * depth


@given(st.binary(max_size=120) | field_soup | mutated())
@settings(max_examples=1500)
@example(b"")
@example(b"\x08")
@example(b"\x22\x05ab")
@example(b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
@example(b"\x35\x01\x02\x03")
@example(b"\x20" + b"\xff" * 9 + b"\x01")
@example(b"\x20" + b"\xff" * 10 + b"\x01")
@example(b"\x12\x03\xed\xa0\x80")
@example(b"\x42\x01\xff")
@example(b"\x0a\x02\x0a\x00\x0a\x02\x18\x05")
@example(b"\x0a\x02\x0a\x00\x12\x01u\x0a\x02\x18\x05")
@example(b"\x00")
@example(b"\xaa\x00\x01x")
@example(b"\x42\x80\x80\x80\x80\x80\x00")
@example(b"\x2a\x81\x80\x80\x80\x80\x00x")
@example(b"\x2a\x81\x80\x80\x80\x00x")
def test_the_reader_sees_what_the_generated_parser_sees(raw: bytes) -> None:
    """Random bytes, fields in any order and number, damaged messages: same fields, or both refuse."""
    assert by_reader(raw) == by_generated_parser(raw)


@pytest.mark.parametrize("depth", range(90, 106))
@pytest.mark.parametrize("where", ["message", "spec"])
def test_the_bound_on_nesting_is_the_same(depth: int, where: str) -> None:
    """What is nested too deep is refused at the same depth, inside of the spec as well."""
    groups = nested_groups(depth)
    raw = groups if where == "message" else b"\x0a" + delimited(groups)
    assert by_reader(raw) == by_generated_parser(raw)


def test_nesting_has_a_bound() -> None:
    """The test above passes a bound on its way: otherwise it would compare nothing."""
    assert by_generated_parser(b"\x0a" + delimited(nested_groups(90))) is not None
    assert by_generated_parser(b"\x0a" + delimited(nested_groups(105))) is None


@given(requests(plain_int64s))
@settings(max_examples=300)
def test_what_clients_send_is_read_in_place(raw: bytes) -> None:
    """For every message that a client makes, `data` is a view of the received bytes, not a copy."""
    message = read_upload_request(raw)
    expected = pb.UploadRequest.FromString(raw)
    assert by_reader(raw) == by_generated_parser(raw)
    assert message.data.readonly
    if expected.data:
        assert message.data.obj is raw


def test_a_malformed_message_says_so() -> None:
    """The one exception that is raised is the module's own."""
    with pytest.raises(MalformedMessage):
        read_upload_request(b"\x2a\x05abc")
