"""Says when a document's first bytes are surely not of the declared type. In doubt it says nothing.

The signatures stand here, each from its format's own specification; no library answers this question. puremagic
says what bytes may be, which differs between its 1.x (Python 3.11; every ZIP is a `docx`) and 2.x (3.12 and later;
519 s for one HTML page of 2 MiB, issue 152); filetype has had no release since 2022 and takes some docx for ZIP.

    declared                                   refused when the first bytes
    application/octet-stream                   never
    text/*, JSON, XML and their like           hold NUL (without a Unicode BOM), or are of a binary signature
    a type with a signature (`_SIGNED`)        are of none of its signatures
    image/*, audio/*, video/*, font/*, .doc    are of another kind's signature (a PDF as `image/x-anything`)
    anything else                              never

What is compressed, and says so in its name, is of whatever type its content is: Python's mimetypes takes
`data.csv.gz` for `text/csv` (with an encoding), and a client declares what mimetypes says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LOOKED_AT = 64 * 1024
"""Most bytes that are looked at, whatever is given."""
PDF_HEADER_WITHIN = 1024
"""Acrobat, and what came after it, takes a PDF whose header begins anywhere in so many bytes (ISO 32000, annex H)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How a format begins. `kinds` are the top-level media types that have it; none for a container of anything.

    `readable`: a plain text might begin like this, too.
    """

    name: str
    pattern: re.Pattern[bytes]
    kinds: frozenset[str] = frozenset()
    readable: bool = False


def _signature(name: str, pattern: bytes, *kinds: str, readable: bool = False) -> Signature:
    return Signature(name, re.compile(pattern, re.DOTALL), frozenset(kinds), readable)


PDF = _signature("a PDF document", rb"%PDF-", "application")
PNG = _signature("a PNG image", rb"\x89PNG\r\n\x1a\n", "image")
JPEG = _signature("a JPEG image", rb"\xff\xd8\xff", "image")
GIF = _signature("a GIF image", rb"GIF8[79]a", "image", readable=True)
WEBP = _signature("a WebP image", rb"RIFF.{4}WEBP", "image", readable=True)
TIFF = _signature("a TIFF image", rb"II[*+]\0|MM\0[*+]", "image")
ZIP = _signature("a ZIP archive", rb"PK(\x03\x04|\x05\x06|\x07\x08)")
OLE = _signature("an OLE compound file", rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
GZIP = _signature("a gzip file", rb"\x1f\x8b\x08")
BZIP2 = _signature("a bzip2 file", rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)")
XZ = _signature("an xz file", rb"\xfd7zXZ\0")
ZSTD = _signature("a Zstandard file", rb"\x28\xb5\x2f\xfd")
SEVEN_ZIP = _signature("a 7-Zip archive", rb"7z\xbc\xaf\x27\x1c")
RAR = _signature("a RAR archive", rb"Rar!\x1a\x07")
ISO_MEDIA = _signature("an ISO media file", rb"\0.{3}ftyp", "image", "audio", "video")
EBML = _signature("a Matroska or WebM file", rb"\x1a\x45\xdf\xa3", "audio", "video")
OGG = _signature("an Ogg file", rb"OggS\0", "audio", "video")
WAV = _signature("a WAV file", rb"RIFF.{4}WAVE", "audio", readable=True)
FLAC = _signature("a FLAC file", rb"fLaC[\0\x80]", "audio")
SQLITE = _signature("an SQLite database", rb"SQLite format 3\0", "application")
ELF = _signature("an ELF program", rb"\x7fELF[\x01\x02]", "application")
BMP = _signature("a BMP image", rb"BM", "image", readable=True)

_STRONG = (
    PDF, PNG, JPEG, GIF, WEBP, TIFF, ZIP, OLE, GZIP, BZIP2, XZ, ZSTD, SEVEN_ZIP, RAR, ISO_MEDIA, EBML, OGG, WAV,
    FLAC, SQLITE, ELF,
)  # fmt: skip
"""Long enough that nothing else begins so by chance. BMP's two letters are not: they only serve its own type."""

_OFFICE_2007 = (ZIP, OLE)
"""docx, xlsx, pptx and their like: a ZIP, or an OLE file where they are locked with a password (MS-OFFCRYPTO)."""

_SIGNED: dict[str, tuple[Signature, ...]] = {
    "application/pdf": (PDF,),
    "image/png": (PNG,),
    "image/apng": (PNG,),
    "image/jpeg": (JPEG,),
    "image/jpg": (JPEG,),
    "image/pjpeg": (JPEG,),
    "image/gif": (GIF,),
    "image/webp": (WEBP,),
    "image/tiff": (TIFF,),
    "image/bmp": (BMP,),
    "image/x-ms-bmp": (BMP,),
    "image/avif": (ISO_MEDIA,),
    "image/heic": (ISO_MEDIA,),
    "image/heif": (ISO_MEDIA,),
    "application/zip": (ZIP,),
    "application/x-zip-compressed": (ZIP,),
    "application/java-archive": (ZIP,),
    "application/vnd.android.package-archive": (ZIP,),
    "application/gzip": (GZIP,),
    "application/x-gzip": (GZIP,),
    "application/x-bzip2": (BZIP2,),
    "application/x-xz": (XZ,),
    "application/zstd": (ZSTD,),
    "application/x-7z-compressed": (SEVEN_ZIP,),
    "application/vnd.rar": (RAR,),
    "application/x-rar-compressed": (RAR,),
    "application/vnd.sqlite3": (SQLITE,),
    "audio/flac": (FLAC,),
    "audio/ogg": (OGG,),
    "video/ogg": (OGG,),
    "video/webm": (EBML,),
}

_TEXT_TYPES = frozenset(
    {
        "application/csv",
        "application/javascript",
        "application/json",
        "application/sql",
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
    }
)
_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")  # UTF-16 either way (UTF-32 little-endian too), UTF-32

_ENCODINGS = {
    GZIP: (".gz", ".svgz", ".tgz"),
    BZIP2: (".bz2", ".tbz2"),
    XZ: (".xz", ".txz"),
    ZSTD: (".zst", ".tzst"),
}

_MEDIA_KINDS = frozenset({"image", "audio", "video", "font"})
_OFFICE_1997 = frozenset({"application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"})
"""An OLE file by the book; but RTF, HTML, CSV and today's ZIP go by these names too, and nothing like a picture."""


class SignatureInspector:
    """A `ContentInspector`. Holds nothing, so that any number of threads may use it."""

    def conflict(self, declared: str, head: bytes, filename: str) -> str | None:
        """See the port."""
        head = head[:LOOKED_AT]
        found = next((signature for signature in _STRONG if signature.pattern.match(head)), None)
        if not head or _fits(declared, head, found) or _is_encoded(found, filename):
            return None
        if found is not None:
            return f"declared as {declared[:128]}, but the first bytes are those of {found.name}"
        if signed := _signatures_of(declared):
            names = " or ".join(signature.name for signature in signed)
            return f"declared as {declared[:128]}, but the first bytes are not those of {names}"
        return f"declared as {declared[:128]}, but the first bytes hold NUL, which no text does"


def _fits(declared: str, head: bytes, found: Signature | None) -> bool:
    """Whether a document that begins with `head`, of which `found` is the signature, may be of type `declared`."""
    if signed := _signatures_of(declared):
        if found is not None:
            return found in signed
        return any(_weakly_matches(signature, head) for signature in signed)
    if _is_text(declared):
        binary = found is not None and not found.readable
        return not binary and (b"\0" not in head or head.startswith(_BOMS))
    if found is None:
        return True
    if declared in _OFFICE_1997:
        return found in _OFFICE_2007
    kind = declared.partition("/")[0]
    return kind not in _MEDIA_KINDS or not found.kinds or kind in found.kinds


def _is_encoded(found: Signature | None, filename: str) -> bool:
    return found in _ENCODINGS and filename.lower().endswith(_ENCODINGS[found])


def _signatures_of(declared: str) -> tuple[Signature, ...]:
    """Of these a document of type `declared` has one; none where the type has no signature that is known here."""
    if declared in _SIGNED:
        return _SIGNED[declared]
    if declared.endswith("+zip"):
        return (ZIP,)
    if declared.startswith("application/vnd.openxmlformats-officedocument.") or declared.endswith(".macroenabled.12"):
        return _OFFICE_2007
    if declared.startswith("application/vnd.oasis.opendocument.") and not declared.endswith("xml"):
        return (ZIP,)
    return ()


def _weakly_matches(signature: Signature, head: bytes) -> bool:
    if signature is PDF:
        return PDF.pattern.search(head, 0, PDF_HEADER_WITHIN) is not None
    return signature is BMP and BMP.pattern.match(head) is not None


def _is_text(declared: str) -> bool:
    return declared.startswith("text/") or declared in _TEXT_TYPES or declared.endswith(("+json", "+xml", "+yaml"))
