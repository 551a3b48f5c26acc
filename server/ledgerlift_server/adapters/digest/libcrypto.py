"""SHA-256 of OpenSSL's libcrypto through ctypes, for the one thing that hashlib cannot: its state is a plain struct.

`SHA256_Init/Update/Final` and `SHA256_CTX` are public, and deprecated since OpenSSL 3.0 in favour of EVP, which
hides its state. They may go one day: `hashers.py` tests what it loads, and can do without. Measured on OpenSSL
3.0.19 in parts of 8 MiB: 2.12 GB/s, as hashlib; a call costs 2 µs more.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager

OLDEST_VERSION = 0x30000000
"""`OpenSSL_version_num()` of 3.0.0. LibreSSL answers 2.0.0."""

_GUARD_BYTES = 128


class Sha256Context(ctypes.Structure):
    """`SHA256_CTX` of <openssl/sha.h>, and behind it bytes that a library with a larger struct would touch."""

    _fields_ = (
        ("h", ctypes.c_uint32 * 8),
        ("Nl", ctypes.c_uint32),  # length so far in bits, low word
        ("Nh", ctypes.c_uint32),
        ("data", ctypes.c_uint32 * 16),
        ("num", ctypes.c_uint),  # bytes waiting in `data`
        ("md_len", ctypes.c_uint),
        ("guard", ctypes.c_ubyte * _GUARD_BYTES),
    )


class _PyBuffer(ctypes.Structure):
    """`Py_buffer`, for the address of a view: `from_buffer()` of ctypes takes writable memory only."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_PYBUF_SIMPLE = 0
# Prototypes of our own: argtypes set on `ctypes.pythonapi` itself would be everybody's.
_get_buffer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release_buffer = ctypes.PYFUNCTYPE(None, ctypes.POINTER(_PyBuffer))(("PyBuffer_Release", ctypes.pythonapi))


@contextmanager
def _borrowed(view: memoryview) -> Iterator[tuple[int, int]]:
    """Address and size of the bytes of `view`, read-only ones too. They can neither move nor be freed meanwhile."""
    buffer = _PyBuffer()
    _get_buffer(view, ctypes.byref(buffer), _PYBUF_SIMPLE)
    try:
        yield buffer.buf, buffer.len
    finally:
        _release_buffer(ctypes.byref(buffer))


class Libcrypto:
    """The functions that are needed, with their types. ctypes releases the GIL around each of them."""

    def __init__(self, path: str) -> None:
        """Load the library at `path`, or one that depends on it. Raises OSError when it is not what is needed."""
        library = ctypes.CDLL(path)
        context = ctypes.POINTER(Sha256Context)
        try:
            version = library.OpenSSL_version_num
            self._init = library.SHA256_Init
            self._update = library.SHA256_Update
            self._final = library.SHA256_Final
        except AttributeError as missing:
            raise OSError(f"{path}: {missing}") from missing
        version.argtypes, version.restype = (), ctypes.c_ulong
        self._init.argtypes = (context,)
        self._update.argtypes = (context, ctypes.c_void_p, ctypes.c_size_t)
        self._final.argtypes = (ctypes.c_char_p, context)
        if version() < OLDEST_VERSION:
            raise OSError(f"{path}: version {version():#x} is older than {OLDEST_VERSION:#x}")

    def new(self) -> Sha256Context:
        """A context that has seen nothing."""
        context = Sha256Context()
        _check(self._init(context))
        return context

    def update(self, context: Sha256Context, view: memoryview) -> None:
        """Take in the bytes of `view`, which must be contiguous, without copying them and without the GIL."""
        with _borrowed(view) as (address, size):
            _check(self._update(context, address, size))

    def digest(self, context: Sha256Context) -> bytes:
        """The digest of what `context` has seen; it may go on."""
        last = Sha256Context.from_buffer_copy(context)
        digest = ctypes.create_string_buffer(32)
        _check(self._final(digest, last))
        return digest.raw


def candidates() -> Iterator[str]:
    """Where libcrypto may be: first the one that hashlib itself runs on, in the process already."""
    try:
        import _hashlib
    except ImportError:
        pass
    else:
        # Symbols are looked up in what a library depends on as well. A static build has no file.
        if path := getattr(_hashlib, "__file__", None):
            yield path
    if path := ctypes.util.find_library("crypto"):
        yield path


def _check(result: int) -> None:
    if result != 1:
        raise RuntimeError("libcrypto refused to hash")
