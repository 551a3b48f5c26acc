"""`adapters/digest/hashers.py`: the digest is hashlib's, however often the upload was interrupted."""

from __future__ import annotations

import ctypes.util
import hashlib
import threading
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerlift_server.adapters.digest import HashlibHashers, LibcryptoHashers, load_hashers
from ledgerlift_server.adapters.digest.libcrypto import Libcrypto, Sha256Context, candidates
from ledgerlift_server.domain.digest_port import HasherFactory

MIB = 1024 * 1024

FACTORIES = [load_hashers(), HashlibHashers()]
every_factory = pytest.mark.parametrize("hashers", FACTORIES, ids=lambda factory: type(factory).__name__)


@pytest.fixture(scope="module")
def resumable() -> LibcryptoHashers:
    """Hashers with a state; every machine that the tests run on has OpenSSL 3."""
    hashers = load_hashers()
    assert isinstance(hashers, LibcryptoHashers)
    return hashers


def state_after(hashers: LibcryptoHashers, data: bytes) -> bytes:
    """The saved state after `data`, a multiple of 64 bytes."""
    hasher = hashers.new()
    hasher.update(memoryview(data))
    state = hasher.state()
    assert state is not None
    return state


@every_factory
@given(chunks=st.lists(st.binary(max_size=300), max_size=8), writable=st.booleans())
def test_the_digest_is_that_of_all_bytes_in_order(
    hashers: HasherFactory, chunks: list[bytes], writable: bool
) -> None:
    """In whatever pieces the bytes come, writable or not, and whenever the digest is asked for."""
    hasher = hashers.new()
    seen = b""
    for chunk in chunks:
        hasher.update(memoryview(bytearray(chunk) if writable else chunk))
        seen += chunk
        assert hasher.hexdigest() == hashlib.sha256(seen).hexdigest()


@given(data=st.binary(max_size=1000), cut=st.integers(0, 15), shift=st.integers(0, 7))
def test_a_hash_goes_on_where_its_state_was_saved(
    resumable: LibcryptoHashers, data: bytes, cut: int, shift: int
) -> None:
    """At every block, and from memory of any alignment, a restored hasher ends in hashlib's digest."""
    cut = min(cut, len(data) // 64) * 64
    hasher = resumable.restore(state_after(resumable, data[:cut]), cut)
    assert hasher is not None
    shifted = memoryview(bytes(shift) + data)
    hasher.update(shifted[shift + cut :])
    assert hasher.hexdigest() == hashlib.sha256(data).hexdigest()


@given(before=st.integers(0, 200))
def test_there_is_a_state_at_the_end_of_a_block_and_nowhere_else(resumable: LibcryptoHashers, before: int) -> None:
    """A state after 64 n bytes, none in between; asking changes nothing."""
    hasher = resumable.new()
    hasher.update(memoryview(bytes(before)))
    assert (hasher.state() is None) == (before % 64 != 0)
    assert hasher.hexdigest() == hashlib.sha256(bytes(before)).hexdigest()


def test_a_state_saved_by_an_earlier_release_can_be_restored(resumable: LibcryptoHashers) -> None:
    """The format does not change: this one was written by the first release, after 64 times the letter a."""
    saved = bytes.fromhex(
        "53484101" + "0000000000000040"
        + "df5bb81ce81e0626fb45a8944fd40f31b25e6816d6d499c1ab90492900635e66"
        + "8295a3fa"
    )  # fmt: skip
    assert state_after(resumable, b"a" * 64) == saved
    assert resumable.restore(saved, 64) is not None


def test_the_state_is_the_intermediate_hash_value_of_the_standard(resumable: LibcryptoHashers) -> None:
    """Before the first block it is FIPS 180-4's initial value, in big-endian order on every machine."""
    initial = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"
    assert state_after(resumable, b"")[12:44].hex() == initial


@given(position=st.integers(0, 47), bit=st.integers(0, 7))
def test_a_damaged_state_is_refused(resumable: LibcryptoHashers, position: int, bit: int) -> None:
    """Whichever bit of it is wrong."""
    state = bytearray(state_after(resumable, bytes(6400)))
    state[position] ^= 1 << bit
    assert resumable.restore(bytes(state), 6400) is None


def test_a_state_of_another_length_is_refused(resumable: LibcryptoHashers) -> None:
    """A state only fits the length it was saved at; one cut short or with more behind it fits none."""
    state = state_after(resumable, bytes(6400))
    assert resumable.restore(state, 6400) is not None
    for length in (0, 64, 6336, 6464, 6401, -64, 2**61, 2**64):
        assert resumable.restore(state, length) is None
    for wrong in (b"", state[:-1], state + b"\0", bytes(48)):
        assert resumable.restore(wrong, 6400) is None
    without: HasherFactory = HashlibHashers()
    assert without.restore(state, 6400) is None


def test_lengths_beyond_the_low_word_of_bits_are_kept(resumable: LibcryptoHashers) -> None:
    """512 MiB are 2**32 bits: the digest of more, interrupted before and behind, is right."""
    block = memoryview(bytes(range(256)) * (8 * MIB // 256))
    plain = hashlib.sha256()
    hasher = resumable.new()
    for number in range(66):
        plain.update(block)
        hasher.update(block)
        if number in (62, 63, 64):
            state = hasher.state()
            restored = resumable.restore(state, (number + 1) * 8 * MIB) if state is not None else None
            assert restored is not None
            hasher = restored
    assert hasher.hexdigest() == plain.hexdigest()


def test_hashers_do_not_share_what_they_have_seen(resumable: LibcryptoHashers) -> None:
    """Two hashers of one state go their own ways."""
    state = state_after(resumable, b"x" * 64)
    one, other = resumable.restore(state, 64), resumable.restore(state, 64)
    assert one is not None
    assert other is not None
    one.update(memoryview(b"1"))
    other.update(memoryview(b"2"))
    assert one.hexdigest() == hashlib.sha256(b"x" * 64 + b"1").hexdigest()
    assert other.hexdigest() == hashlib.sha256(b"x" * 64 + b"2").hexdigest()


@pytest.mark.parametrize("memory", [bytes(16 * MIB), bytearray(16 * MIB)], ids=["read-only", "writable"])
def test_large_views_are_read_in_place(resumable: LibcryptoHashers, memory: bytes | bytearray) -> None:
    """Hashing 16 MiB takes no memory of its own, and lets go of the buffer."""
    hasher = resumable.new()
    tracemalloc.start()
    try:
        hasher.update(memoryview(memory)[64:])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    if isinstance(memory, bytearray):
        memory.clear()  # BufferError while somebody holds on to it


def test_a_view_with_gaps_is_not_hashed_as_something_else(resumable: LibcryptoHashers) -> None:
    """A strided view is an error, and the hasher has seen nothing of it."""
    hasher = resumable.new()
    with pytest.raises(BufferError):
        hasher.update(memoryview(b"abcdef")[::2])
    assert hasher.hexdigest() == hashlib.sha256().hexdigest()


def test_other_threads_run_while_a_buffer_is_hashed(resumable: LibcryptoHashers) -> None:
    """The GIL is released: this thread goes on in the middle of another's update of 128 MiB."""
    block = memoryview(bytes(128 * MIB))

    def longest_pause() -> float:
        """The longest time that this thread did not run, as a part of the time that the hash took."""
        spans: list[float] = []

        def work() -> None:
            begin = time.perf_counter()
            resumable.new().update(block)
            spans.append(time.perf_counter() - begin)

        thread = threading.Thread(target=work)
        pause, last = 0.0, time.perf_counter()
        thread.start()
        while not spans:
            now = time.perf_counter()
            pause, last = max(pause, now - last), now
        pause = max(pause, time.perf_counter() - last)
        thread.join()
        return pause / spans[0]

    # A busy machine may stop this thread now and then; one that holds the GIL stops it every time.
    assert min(longest_pause() for _ in range(5)) < 0.5


class Clumsy(Libcrypto):
    """A library that loses the last byte."""

    def update(self, context: Sha256Context, view: memoryview) -> None:
        """Hash all but the last byte."""
        super().update(context, view[:-1])


class Larger(Libcrypto):
    """A library whose struct is larger than the one that is declared here."""

    def update(self, context: Sha256Context, view: memoryview) -> None:
        """Write behind the struct."""
        super().update(context, view)
        context.guard[0] = 1


@pytest.mark.parametrize("kind", [Clumsy, Larger])
def test_a_library_that_fails_the_self_test_is_not_used(kind: type[Libcrypto]) -> None:
    """What does not hash as hashlib, or writes beyond the struct, is found before it hashes a document."""
    path = next(iter(candidates()))
    LibcryptoHashers(Libcrypto(path))
    with pytest.raises(OSError, match="libcrypto"):
        LibcryptoHashers(kind(path))


@pytest.mark.parametrize("path", ["/nowhere/libcrypto.so", ctypes.util.find_library("c") or "libc.so.6"])
def test_without_a_library_hashlib_takes_its_place(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """No such file, or one without SHA-256: the digest is still computed, without a state, and the log says so."""
    hashers = load_hashers(lambda: [path])
    hasher = hashers.new()
    hasher.update(memoryview(b"abc"))
    assert hasher.hexdigest() == hashlib.sha256(b"abc").hexdigest()
    assert hasher.state() is None
    assert [record.message for record in caplog.records] == ["sha256_state_unavailable"]
