"""`adapters/content.py`: a document is refused for its type when the type is surely wrong, and only then."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import struct
import sys
import wave
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ledgerlift_server.adapters.content import LOOKED_AT, SignatureInspector

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSM = "application/vnd.ms-excel.sheet.macroenabled.12"
ODT = "application/vnd.oasis.opendocument.text"


def png() -> bytes:
    """One grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
    )


def archive(*names: str, compression: int = zipfile.ZIP_DEFLATED, content: bytes = b"<x/>") -> bytes:
    """A ZIP of files of those names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        for name in names:
            zipped.writestr(name, content)
    return file.getvalue()


def pdf() -> bytes:
    """An empty page, as small as it gets."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    )


def wav() -> bytes:
    """A few samples of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(64))
    return file.getvalue()


def database() -> bytes:
    """A table without rows."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (x)")
        content = connection.serialize()
    connection.close()
    return content


def office_1997() -> bytes:
    """The head of an OLE compound file (MS-CFB section 2.2)."""
    return bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHH", 0x3E, 3, 0xFFFE, 9) + bytes(480)


CSV = "id,name\n1,Größe\n".encode()
JSON = b'{"a": [1, 2]}\n'
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>"
GIF = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb"
WEBP = b"RIFF\x1a\0\0\0WEBPVP8L\r\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"
TIFF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
BMP = b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + bytes(44)
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
FLAC = b"fLaC\0\0\0\x22" + bytes(34)
ELF = Path(sys.executable).read_bytes()[:64]
DOCX_FILE = archive("[Content_Types].xml", "word/document.xml")

ACCEPTED = {
    "a PDF": ("application/pdf", pdf()),
    "a PDF behind a mail's header": ("application/pdf", b"Content-Type: application/pdf\r\n\r\n" + pdf()),
    "a PNG": ("image/png", png()),
    "a JPEG": ("image/jpeg", JPEG),
    "a GIF": ("image/gif", GIF),
    "a WebP": ("image/webp", WEBP),
    "a TIFF": ("image/tiff", TIFF),
    "a BMP": ("image/bmp", BMP),
    "a HEIC": ("image/heic", b"\0\0\0\x18ftypheic\0\0\0\0"),
    "a ZIP": ("application/zip", archive("a")),
    "an empty ZIP": ("application/zip", archive()),
    "a docx": (DOCX, DOCX_FILE),
    "a docx whose first entry is trash": (DOCX, archive("[trash]/0000.dat", "word/document.xml")),
    "an xlsx": (XLSX, archive("xl/workbook.xml")),
    "an xlsx with a password": (XLSX, office_1997()),
    "an xlsm": (XLSM, archive("xl/workbook.xml")),
    "an odt": (ODT, archive("mimetype", compression=zipfile.ZIP_STORED)),
    "a flat odt": (f"{ODT}-flat-xml", b"<?xml version='1.0'?><office:document/>"),
    "an epub": ("application/epub+zip", archive("mimetype")),
    "a doc": ("application/msword", office_1997()),
    "a doc that is RTF": ("application/msword", rb"{\rtf1\ansi Hello}"),
    "an xls that is HTML": ("application/vnd.ms-excel", b"<html><table></table></html>"),
    "a CSV as browsers on Windows declare it": ("application/vnd.ms-excel", CSV),
    "an xlsx under the old name": ("application/vnd.ms-excel", archive("xl/workbook.xml")),
    "gzip": ("application/gzip", gzip.compress(CSV)),
    "bzip2": ("application/x-bzip2", bz2.compress(CSV)),
    "empty bzip2": ("application/x-bzip2", bz2.compress(b"")),
    "xz": ("application/x-xz", lzma.compress(CSV)),
    "SQLite": ("application/vnd.sqlite3", database()),
    "FLAC": ("audio/flac", FLAC),
    "a WAV": ("audio/wav", wav()),
    "an MP4": ("video/mp4", MP4),
    "a CSV": ("text/csv", CSV),
    "a CSV in Latin-1": ("text/csv", "id;Größe\n".encode("latin-1")),
    "a CSV in UTF-16 with a BOM": ("text/csv", "\ufeffid;name\n".encode("utf-16-le")),
    "a text in UTF-16 with the other BOM": ("text/plain", "\ufeffid;name\n".encode("utf-16-be")),
    "a text in UTF-32 with a BOM": ("text/plain", "\ufeffid".encode("utf-32-be")),
    "a text that begins with BM": ("text/plain", b"BM is not a picture"),
    "a text about GIF": ("text/plain", b"GIF89a is a format of 1989"),
    "a text about MP4": ("text/plain", b"The ftyp box comes first"),
    "JSON": ("application/json", JSON),
    "JSON by suffix": ("application/vnd.api+json", JSON),
    "an SVG": ("image/svg+xml", SVG),
    "bytes that anything may be": ("application/octet-stream", pdf()),
    "an unknown type": ("application/x-of-our-own", pdf()),
    "an unknown type of a ZIP": ("application/vnd.google-earth.kmz", archive("doc.kml")),
    "an unknown image in a ZIP": ("image/openraster", archive("mimetype")),
    "an unknown image without a signature": ("image/x-of-our-own", b"\x01\0\x02"),
    "an AI file, which is a PDF": ("application/illustrator", pdf()),
    "a font": ("font/woff2", b"wOF2\0\x01\0\0"),
    "no type at all": ("", pdf()),
}

REFUSED = {
    "a PNG as PDF": ("application/pdf", png(), "a PNG image"),
    "a ZIP as PDF": ("application/pdf", archive("a"), "a ZIP archive"),
    "a ZIP with a PDF in it as PDF": (
        "application/pdf",
        archive("a.pdf", compression=zipfile.ZIP_STORED, content=pdf()),
        "a ZIP archive",
    ),
    "a text as PDF": ("application/pdf", b"hello, world\n", "not those of a PDF document"),
    "two bytes as PDF": ("application/pdf", b"%P", "not those of a PDF document"),
    "a PDF header that comes too late": ("application/pdf", b" " * 1020 + pdf(), "not those of a PDF document"),
    "a JPEG as PNG": ("image/png", JPEG, "a JPEG image"),
    "HTML as PNG": ("image/png", b"<!doctype html><title>404</title>", "not those of a PNG image"),
    "a PNG as JPEG": ("image/jpeg", png(), "a PNG image"),
    "a PDF as GIF": ("image/gif", pdf(), "a PDF document"),
    "a WAV as WebP": ("image/webp", wav(), "a WAV file"),
    "a PNG as BMP": ("image/bmp", png(), "a PNG image"),
    "a text as BMP": ("image/bmp", b"B", "not those of a BMP image"),
    "a PDF as docx": (DOCX, pdf(), "a PDF document"),
    "a text as docx": (DOCX, CSV, "not those of a ZIP archive or an OLE compound file"),
    "an OLE file as odt": (ODT, office_1997(), "an OLE compound file"),
    "a PNG as doc": ("application/msword", png(), "a PNG image"),
    "a PDF as xls": ("application/vnd.ms-excel", pdf(), "a PDF document"),
    "gzip as ZIP": ("application/zip", gzip.compress(CSV), "a gzip file"),
    "a PNG as text": ("text/plain", png(), "a PNG image"),
    "a PDF as text": ("text/plain", pdf(), "a PDF document"),
    "a ZIP as CSV": ("text/csv", archive("a"), "a ZIP archive"),
    "an xls as CSV": ("text/csv", office_1997(), "an OLE compound file"),
    "a GIF as text": ("text/plain", GIF, "a GIF image"),
    "UTF-16 without a BOM as text": ("text/plain", "id;name".encode("utf-16-le"), "NUL"),
    "NUL as JSON": ("application/json", b'{"a": "\0"}', "NUL"),
    "a PNG as SVG": ("image/svg+xml", png(), "a PNG image"),
    "gzip as CSV": ("text/csv", gzip.compress(CSV), "a gzip file"),
    "a PDF as some image": ("image/x-of-our-own", pdf(), "a PDF document"),
    "a program as some video": ("video/x-of-our-own", ELF, "an ELF program"),
    "a FLAC as some image": ("image/x-of-our-own", FLAC, "a FLAC file"),
    "a PNG as MP3": ("audio/mpeg", png(), "a PNG image"),
}


@pytest.fixture
def inspector() -> SignatureInspector:
    """The one that the server uses."""
    return SignatureInspector()


@pytest.mark.parametrize(("declared", "content"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_document_that_may_be_what_it_says_is_taken(
    inspector: SignatureInspector, declared: str, content: bytes
) -> None:
    """What fits, what is usual though not by the book, and what nobody can know."""
    assert inspector.conflict(declared, content, "a.bin") is None


@pytest.mark.parametrize(("declared", "content", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_document_that_is_surely_something_else_is_refused(
    inspector: SignatureInspector, declared: str, content: bytes, says: str
) -> None:
    """The sentence names the declared type, and what the bytes are or are not."""
    conflict = inspector.conflict(declared, content, "a.bin")
    assert conflict is not None
    assert conflict.startswith(f"declared as {declared}, but the first bytes ")
    assert says in conflict


@pytest.mark.parametrize("declared", sorted({declared for declared, *_ in [*ACCEPTED.values(), *REFUSED.values()]}))
def test_an_empty_document_contradicts_no_type(inspector: SignatureInspector, declared: str) -> None:
    """Zero bytes are a document of any type."""
    assert inspector.conflict(declared, b"", "a") is None


@pytest.mark.parametrize(
    ("declared", "name", "content"),
    [
        ("text/csv", "DATA.CSV.GZ", gzip.compress(CSV)),
        ("image/svg+xml", "a.svgz", gzip.compress(SVG)),
        ("application/pdf", "a.pdf.bz2", bz2.compress(pdf())),
        ("application/json", "a.json.xz", lzma.compress(JSON)),
    ],
    ids=["gzip", "svgz", "bzip2", "xz"],
)
def test_a_name_that_says_compressed_explains_compressed_bytes(
    inspector: SignatureInspector, declared: str, name: str, content: bytes
) -> None:
    """The type is then the content's. Under another name, or of another compression, the bytes are refused."""
    assert inspector.conflict(declared, content, name) is None
    assert inspector.conflict(declared, content, "a.txt") is not None
    assert inspector.conflict(declared, content, "a.zst") is not None
    assert inspector.conflict(declared, png(), name) is not None


declared_types = st.sampled_from(sorted({case[0] for case in [*ACCEPTED.values(), *REFUSED.values()]})) | st.text()
beginnings = st.sampled_from([b"", *(case[1][:16] for case in [*ACCEPTED.values(), *REFUSED.values()])])
heads = st.builds(lambda beginning, rest: beginning + rest, beginnings, st.binary(max_size=200))


@given(declared_types, heads, st.text())
@example("text/" + "x" * 10_000, b"\0", "")
def test_whatever_comes_there_is_an_answer(declared: str, head: bytes, filename: str) -> None:
    """No bytes, type or name make it fail, and what it says is short."""
    conflict = SignatureInspector().conflict(declared, head, filename)
    assert conflict is None or 0 < len(conflict) < 400
    assert SignatureInspector().conflict("application/octet-stream", head, filename) is None


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200),
    st.sampled_from(["text/plain", "text/csv", "text/markdown", "application/json", "application/vnd.x+xml"]),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-32"]),
)
def test_text_is_text_in_any_encoding(text: str, declared: str, encoding: str) -> None:
    """No text without NUL is taken for something binary, unless it begins as a PDF."""
    if not text.startswith("%PDF-"):
        content = text.encode(encoding, "replace")
        assert SignatureInspector().conflict(declared, content, "a") is None


def test_the_work_is_bounded(inspector: SignatureInspector) -> None:
    """However much is given, only the first 64 KiB are looked at."""
    assert inspector.conflict("text/plain", b"x" * LOOKED_AT + b"\0", "a") is None
    assert inspector.conflict("text/plain", b"x" * (LOOKED_AT - 1) + b"\0", "a") is not None
