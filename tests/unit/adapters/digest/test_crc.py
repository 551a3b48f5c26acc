"""`adapters/digest/crc.py`: the checksum is the one that the standard means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift_server.adapters.digest import crc32c


def bit_by_bit(data: bytes) -> int:
    """CRC-32C as its definition says: reflected polynomial 0x82F63B78, all ones before and behind."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
    ids=["nothing", "digits", "zeros", "ones", "ascending"],
)
def test_the_examples_of_rfc_3720(data: bytes, expected: int) -> None:
    """Appendix B.4 of the RFC, and the catalogue's check value; not masked."""
    assert crc32c(memoryview(data)) == expected


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_a_sum_goes_on_behind_other_bytes(before: bytes, behind: bytes) -> None:
    """Piece by piece it is that of the whole."""
    assert crc32c(memoryview(behind), crc32c(memoryview(before))) == crc32c(memoryview(before + behind))


@given(st.binary(max_size=600), st.integers(0, 9), st.booleans())
def test_every_checksum_is_that_of_the_definition(data: bytes, skip: int, writable: bool) -> None:
    """Of a part of any memory, from any alignment."""
    memory = bytearray(data) if writable else data
    assert crc32c(memoryview(memory)[skip:]) == bit_by_bit(data[skip:])


@pytest.mark.parametrize("size", [32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 100_003])
def test_the_checksum_does_not_depend_on_who_holds_the_gil(size: int) -> None:
    """Sizes below and above the one from which on other threads run meanwhile."""
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert crc32c(memoryview(data)) == bit_by_bit(data)
