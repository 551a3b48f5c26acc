"""Upload messages in wire format.

Written by hand as far as the document's bytes go: protobuf copies them twice (into the message, then into its
serialization; 59 us per MiB where joining takes 18, measured), with the interpreter locked. Protobuf allows a
message's fields in any order, so everything but `data` is serialized by protobuf and `data` is put behind it.
"""

from __future__ import annotations

from crc32c import crc32c
from ledgerlift.v1.upload_service_pb2 import UploadRequest

_LENGTH_DELIMITED = 2  # https://protobuf.dev/programming-guides/encoding/#structure
_TAG = bytes([UploadRequest.DESCRIPTOR.fields_by_name["data"].number << 3 | _LENGTH_DELIMITED])


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def data_message(offset: int, data: bytes | memoryview, head: UploadRequest | None = None) -> bytes:
    """A message with `data` at `offset` and its CRC-32C. `head` holds the other fields and is filled in."""
    message = UploadRequest() if head is None else head
    message.write_offset = offset
    message.crc32c = crc32c(data)
    return b"".join((message.SerializeToString(), _TAG, _varint(len(data)), data))
