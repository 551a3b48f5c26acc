"""Writes the documents of demo/documents/: one month of (invented) meter readings as CSV, XLSX, PDF and PNG.

Standard library only, and nothing is compressed or dated: the bytes are the same on every machine, so that a test can
say that the committed files are what this makes.
"""

from __future__ import annotations

import csv
import io
import math
import struct
import sys
import zipfile
import zlib
from datetime import datetime, timedelta
from pathlib import Path
from xml.sax.saxutils import escape

METERS = ("Hall A", "Hall B", "Cold store")
START = datetime(2026, 3, 1)
DAYS = 31


def readings() -> list[tuple[datetime, tuple[float, ...]]]:
    """Hourly kWh of each meter: a working day, a weekend, and a cold store that never sleeps."""
    rows: list[tuple[datetime, tuple[float, ...]]] = []
    for hour in range(DAYS * 24):
        at = START + timedelta(hours=hour)
        at_work = max(0.0, math.sin((at.hour - 5) / 14 * math.pi)) * (1.0 if at.weekday() < 5 else 0.25)
        ripple = math.sin(hour * 12.9898) * 0.5  # looks random, is the same everywhere once rounded
        rows.append(
            (
                at,
                (
                    round(6 + 42 * at_work + 2 * ripple, 1),
                    round(4 + 31 * at_work - 3 * ripple, 1),
                    round(18 + 4 * math.sin(at.hour / 24 * math.tau) + ripple, 1),
                ),
            )
        )
    return rows


def daily_totals() -> list[tuple[datetime, tuple[float, ...]]]:
    """kWh of each meter by day."""
    rows = readings()
    days = [rows[first : first + 24] for first in range(0, len(rows), 24)]
    return [
        (day[0][0], tuple(round(sum(values[meter] for _, values in day), 1) for meter in range(len(METERS))))
        for day in days
    ]


# --- CSV ------------------------------------------------------------------------------------------------------------


def csv_document() -> bytes:
    """Every reading, one hour a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["time", *(f"{meter} (kWh)" for meter in METERS)])
    writer.writerows([at.isoformat(), *values] for at, values in readings())
    return text.getvalue().encode()


# --- XLSX -----------------------------------------------------------------------------------------------------------

XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
EXCEL_EPOCH = datetime(1899, 12, 30)
PLAIN, BOLD, DAY, KWH = range(4)


def _cell(column: int, row: int, value: str | float, style: int, formula: str = "") -> str:
    place = f'r="{chr(ord("A") + column)}{row}" s="{style}"'
    if isinstance(value, str):
        return f'<c {place} t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f"<c {place}>{f'<f>{formula}</f>' if formula else ''}<v>{value}</v></c>"


def _sheet() -> str:
    totals = daily_totals()
    lines = [[_cell(column, 1, name, BOLD) for column, name in enumerate(("Day", *METERS, "Sum"))]]
    for row, (day, values) in enumerate(totals, 2):
        cells = [_cell(0, row, (day - EXCEL_EPOCH).days, DAY)]
        cells += [_cell(column, row, value, KWH) for column, value in enumerate(values, 1)]
        cells += [_cell(4, row, round(sum(values), 1), KWH, f"SUM(B{row}:D{row})")]
        lines.append(cells)
    last = len(totals) + 1
    month = [round(sum(values[meter] for _, values in totals), 1) for meter in range(len(METERS))]
    closing = [_cell(0, last + 1, "Month", BOLD)]
    for column, value in enumerate([*month, round(sum(month), 1)], 1):
        letter = chr(ord("A") + column)
        closing.append(_cell(column, last + 1, value, KWH, f"SUM({letter}2:{letter}{last})"))
    lines.append(closing)
    rows = "".join(f'<row r="{number}">{"".join(cells)}</row>' for number, cells in enumerate(lines, 1))
    columns = '<cols><col min="1" max="5" width="14" customWidth="1"/></cols>'
    return f'{XML}<worksheet xmlns="{SHEETS}">{columns}<sheetData>{rows}</sheetData></worksheet>'


def xlsx_document() -> bytes:
    """The daily totals, with formulas for the sums."""
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'{XML}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kind}.styles+xml"/></Types>',
        "_rels/.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{XML}<workbook xmlns="{SHEETS}" xmlns:r="{RELATIONS}">'
        '<sheets><sheet name="Daily totals" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{XML}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="rId2" Type="{RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'{XML}<styleSheet xmlns="{SHEETS}">'
        '<numFmts count="1"><numFmt numFmtId="164" formatCode="#,##0.0"/></numFmts>'
        '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
        '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
        '<fills count="2"><fill><patternFill patternType="none"/></fill>'
        '<fill><patternFill patternType="gray125"/></fill></fills>'
        "<borders count='1'><border><left/><right/><top/><bottom/><diagonal/></border></borders>"
        '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
        '<cellXfs count="4"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
        '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
        '<xf numFmtId="14" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
        '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
        "</styleSheet>",
        "xl/worksheets/sheet1.xml": _sheet(),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)  # dated 1980, as every ZipInfo is that is told nothing
            entry.create_system = 3
            archive.writestr(entry, text)
    return packed.getvalue()


# --- PDF ------------------------------------------------------------------------------------------------------------


def _line(x: float, y: float, size: int, text: str, font: str = "F1") -> str:
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /{font} {size} Tf {x:g} {y:g} Td ({escaped}) Tj ET"


def _chart_page() -> str:
    totals = [sum(values) for _, values in daily_totals()]
    marks = [
        _line(56, 770, 20, "Energy report, March 2026", "F2"),
        _line(56, 744, 11, f"Daily consumption of {', '.join(METERS)} together, in kWh."),
        _line(56, 728, 11, f"Month: {sum(totals):,.1f} kWh. Highest day: {max(totals):,.1f} kWh."),
        "0.16 0.38 0.62 rg",
    ]
    marks += [f"{56 + day * 15.5:g} 420 12 {total / max(totals) * 280:.2f} re f" for day, total in enumerate(totals)]
    marks += ["0 g 0.8 w 52 420 m 540 420 l S"]
    marks += [_line(58 + day * 15.5, 406, 7, str(day + 1)) for day in range(DAYS)]
    return "\n".join(marks)


def _table_page() -> str:
    marks = [_line(56, 770, 14, "Daily totals (kWh)", "F2")]
    marks += [_line(56 + 110 * column, 744, 10, head, "F2") for column, head in enumerate(("Day", *METERS))]
    for row, (day, values) in enumerate(daily_totals(), 1):
        cells = (day.date().isoformat(), *(f"{value:,.1f}" for value in values))
        marks += [_line(56 + 110 * column, 744 - 20 * row, 10, cell) for column, cell in enumerate(cells)]
    return "\n".join(marks)


def pdf_document() -> bytes:
    """A report of two pages: a chart, and the table behind it."""
    pages = [_chart_page(), _table_page()]
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>",
    ]
    for number, page in enumerate(pages):
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {6 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>",
            f"<< /Length {len(page)} >>\nstream\n{page}\nendstream",
        ]
    objects.append("<< /Title (Energy report, March 2026) /Producer (LedgerLift demo) >>")

    # The second line tells transfer programs that the file is binary (PDF 32000-1, 7.5.2).
    out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    starts = []
    for number, body in enumerate(objects, 1):
        starts.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    table = "".join(f"{start:010d} 00000 n \n" for start in starts)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode("ascii")


# --- PNG ------------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 640, 320
PALETTE = b"\xff\xff\xff" + b"\x29\x61\x9e" + b"\xd9\x7a\x1d" + b"\xcc\xcc\xcc"
PAPER, FIRST, SECOND, GRID = range(4)


def _pixels() -> list[bytearray]:
    """Hourly curves of the first and the last meter over ten days, one byte (a palette index) a pixel."""
    canvas = [bytearray([PAPER] * WIDTH) for _ in range(HEIGHT)]
    for y in range(HEIGHT - 1, 0, -64):
        canvas[y][:] = bytearray([GRID] * WIDTH)
    for x in range(0, WIDTH, 64):
        for row in canvas:
            row[x] = GRID
    rows = readings()
    for colour, meter in ((SECOND, 2), (FIRST, 0)):
        heights = [HEIGHT - 16 - int(rows[x * 240 // WIDTH][1][meter] / 52 * (HEIGHT - 32)) for x in range(WIDTH)]
        for x, height in enumerate(heights):
            before = heights[max(0, x - 1)]
            for y in range(min(before, height), max(before, height) + 2):
                canvas[y][x] = colour
    return canvas


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_document() -> bytes:
    """A picture of the curves: four colours, two bits a pixel."""
    lines = bytearray()
    for row in _pixels():
        lines.append(0)  # no filter
        lines += bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*[iter(row)] * 4, strict=True))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 2, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"PLTE", PALETTE)
        + _chunk(b"IDAT", zlib.compress(bytes(lines), 0))
        + _chunk(b"IEND", b"")
    )


DOCUMENTS = {
    "energy-report.pdf": pdf_document,
    "daily-totals.xlsx": xlsx_document,
    "meter-readings.csv": csv_document,
    "load-curves.png": png_document,
}


def main(folder: Path) -> None:
    """Write every document into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in DOCUMENTS.items():
        (folder / name).write_bytes(make())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
