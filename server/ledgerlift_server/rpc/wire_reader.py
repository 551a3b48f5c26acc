"""Reads an UploadRequest off the wire without copying its `data` (`request_deserializer` of the Upload method).

The generated parser copies `data` into its arena, and once more when it is asked for it. This reader walks
the few fields of the message itself and takes `data` as a view of what gRPC received. It reads only what
every client sends: known fields, each in its own wire type, at most one target. Whatever else it meets it
leaves to the generated parser, whole; so the generated parser alone says what is malformed, and a test
holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import DecodeError
from ledgerlift.v1.upload_service_pb2 import UploadRequest, UploadSpec

# Tags: field number << 3 | wire type (0 varint, 2 length-delimited, 5 four bytes).
_SPEC = 1 << 3 | 2
_UPLOAD_ID = 2 << 3 | 2
_ACCEPT_PARTIAL = 3 << 3
_WRITE_OFFSET = 4 << 3
_DATA = 5 << 3 | 2
_CRC32C = 6 << 3 | 5
_FINISH_WRITE = 7 << 3
_SHA256 = 8 << 3 | 2
_SIZE = 9 << 3

_VARINTS = frozenset({_ACCEPT_PARTIAL, _WRITE_OFFSET, _FINISH_WRITE, _SIZE})
_DELIMITED = frozenset({_SPEC, _UPLOAD_ID, _DATA, _SHA256})

_LONGEST_LENGTH = 5
"""Bytes that a length takes up at the most, leading zeros included: more are refused by the generated parser."""
_NOTHING = memoryview(b"")


class MalformedMessage(ValueError):
    """The bytes are not an UploadRequest."""


class _Unusual(Exception):
    """Something that is left to the generated parser."""


@dataclass(frozen=True, slots=True)
class WireMessage:
    """The fields of an UploadRequest as they came. None: not on the wire. `data` is a view of the message's bytes."""

    spec: UploadSpec | None
    upload_id: str | None
    accept_partial: bool
    write_offset: int | None
    data: memoryview
    crc32c: int | None
    finish_write: bool
    sha256: str
    size: int | None


def read_upload_request(raw: bytes) -> WireMessage:
    """The message in `raw`. Raises MalformedMessage."""
    try:
        return _read_plain(raw)
    except (_Unusual, IndexError, UnicodeDecodeError, DecodeError):
        return _read_generated(raw)


def _read_plain(raw: bytes) -> WireMessage:
    spec = upload_id = write_offset = crc32c = size = None
    accept_partial = finish_write = False
    data, sha256 = _NOTHING, ""
    view = memoryview(raw)
    position, end = 0, len(raw)
    while position < end:
        start = position
        tag = raw[position]
        position += 1
        if tag == _CRC32C:
            position += 4
            crc32c = int.from_bytes(raw[position - 4 : position], "little")
        elif tag in _VARINTS:
            value, position = _varint(raw, position)
            if tag == _WRITE_OFFSET:
                write_offset = value
            elif tag == _SIZE:
                size = value
            elif tag == _ACCEPT_PARTIAL:
                accept_partial = value != 0
            else:
                finish_write = value != 0
        elif tag in _DELIMITED:
            length, begin = _varint(raw, position)
            if begin - position > _LONGEST_LENGTH:
                raise _Unusual
            position = begin + length
            if tag == _DATA:
                data = view[begin:position]
            elif tag == _SHA256:
                sha256 = raw[begin:position].decode()
            elif spec is not None or upload_id is not None:
                raise _Unusual  # a second target merges with the first or takes its place
            elif tag == _UPLOAD_ID:
                upload_id = raw[begin:position].decode()
            else:
                # The field with its tag, not only its content: the bound on nesting is the outer message's.
                spec = UploadRequest.FromString(raw[start:position]).spec
        else:
            raise _Unusual
    if position > end:  # the last field was cut short
        raise _Unusual
    return WireMessage(spec, upload_id, accept_partial, write_offset, data, crc32c, finish_write, sha256, size)


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and the position behind it. Ten bytes (negative numbers) are unusual."""
    byte = raw[position]
    if byte < 0x80:
        return byte, position + 1
    value = byte & 0x7F
    for shift in range(7, 63, 7):
        position += 1
        byte = raw[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
    raise _Unusual


def _read_generated(raw: bytes) -> WireMessage:
    try:
        message = UploadRequest.FromString(raw)
    except DecodeError as error:
        raise MalformedMessage(str(error)) from error
    target = message.WhichOneof("target")
    return WireMessage(
        spec=message.spec if target == "spec" else None,
        upload_id=message.upload_id if target == "upload_id" else None,
        accept_partial=message.accept_partial,
        write_offset=message.write_offset if message.HasField("write_offset") else None,
        data=memoryview(message.data),
        crc32c=message.crc32c if message.HasField("crc32c") else None,
        finish_write=message.finish_write,
        sha256=message.sha256,
        size=message.size if message.HasField("size") else None,
    )
