"""The documents that the demo uploads are made by a script, and are what they say they are."""

from __future__ import annotations

import csv
import struct
import zipfile
import zlib
from pathlib import Path

from tests.support.programs import run
from tests.support.tools import ROOT

DOCUMENTS = ROOT / "demo" / "documents"


def test_they_are_made_identically(tmp_path: Path) -> None:
    """`scripts/make-demo-documents` gives the committed files, byte for byte."""
    assert run(ROOT / "scripts/make-demo-documents", str(tmp_path)).returncode == 0
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in DOCUMENTS.iterdir()}
    assert made.keys() == kept.keys()
    assert [name for name in made if made[name] != kept[name]] == []


def test_the_pdf_can_be_followed() -> None:
    """The cross-reference table of the PDF points at its objects."""
    raw = (DOCUMENTS / "energy-report.pdf").read_bytes()
    table = int(raw.rsplit(b"startxref\n", 1)[1].split(b"\n", 1)[0])
    head, count, *entries = raw[table:].split(b"\n")
    assert head == b"xref"
    for number, entry in enumerate(entries[1 : int(count.split()[1])], 1):
        assert raw[int(entry[:10]) :].startswith(f"{number} 0 obj".encode())


def test_the_spreadsheet_is_whole() -> None:
    """The XLSX is a sound archive in which every part that is referred to exists."""
    with zipfile.ZipFile(DOCUMENTS / "daily-totals.xlsx") as archive:
        assert archive.testzip() is None
        assert {"[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"} <= set(archive.namelist())


def test_the_image_can_be_decoded() -> None:
    """The PNG's chunks carry the right checksums and as many pixels as it says."""
    raw = (DOCUMENTS / "load-curves.png").read_bytes()
    at, chunks = 8, {}
    while at < len(raw):
        size, kind = struct.unpack(">I4s", raw[at : at + 8])
        body = raw[at + 8 : at + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(">I", raw[at + 8 + size : at + 12 + size])[0]
        chunks[kind] = body
        at += size + 12
    width, height, depth = struct.unpack(">IIB", chunks[b"IHDR"][:9])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + width * depth // 8)


def test_the_table_has_a_line_for_every_hour() -> None:
    """The CSV has a head and 31 days of 24 hours."""
    with (DOCUMENTS / "meter-readings.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 31 * 24
