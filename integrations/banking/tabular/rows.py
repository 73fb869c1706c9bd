"""A file as rows of cells: CSV text, or the cells of an Excel workbook. Pure: bytes in, values out.

A workbook is a zip of XML from outside: its members are measured before they are unpacked, and none may bring a document
type. Formulas are never computed: what the program that wrote the file last showed is what they are.
"""

import csv
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from defusedxml import DefusedXmlException
from openpyxl import load_workbook

from engine.kernel.files import Wrong
from engine.kernel.table_layouts import Layout

BYTES_MAX = 64_000_000
UNPACKED_MAX = 256_000_000
TIMES_SMALLER_MAX = 200  # a table of figures packs to a tenth; a bomb to a thousandth
MEMBERS_MAX = 500
ROWS_MAX = 2_000_000
COLUMNS_MAX = 100
_ZIP = b"PK\x03\x04"

Cell = str | date
Row = tuple[int, list[Cell]]
"""A row's number in the file, from 1, and its cells: text without the blanks around it, or a day."""


def rows_of(raw: bytes, layout: Layout) -> Iterator[Row]:
    """Yield the rows that are not blank, of a workbook or of text, whichever the bytes are.

    Raises:
        Wrong: the file is empty, too large, damaged, or not in the encoding of the layout.

    """
    if not raw.strip():
        raise Wrong("file", "empty-file")
    if len(raw) > BYTES_MAX:
        raise Wrong("file", "too-large", f"It has {len(raw)} bytes; the most is {BYTES_MAX}.")
    rows = _workbook_rows(raw, layout) if raw.startswith(_ZIP) else _text_rows(raw, layout)
    for count, (number, cells) in enumerate(rows, 1):
        if count > ROWS_MAX:
            raise Wrong("file", "too-many-rows", f"The most is {ROWS_MAX}.")
        if any(cells):
            yield number, cells


def _text_rows(raw: bytes, layout: Layout) -> Iterator[Row]:
    if b"\0" in raw:
        raise Wrong("file", "not-text", "It holds NUL bytes.")
    try:
        text = raw.decode("utf-8-sig" if layout.encoding == "utf-8" else layout.encoding)
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise Wrong("file", "not-text", f"It must be in {layout.encoding}.", row=row) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
    before = 0
    try:
        for cells in reader:
            yield before + 1, [cell.strip() for cell in cells]
            before = reader.line_num
    except csv.Error as error:
        raise Wrong("file", "malformed", "A quotation mark stands where none can.", row=before + 1) from error


def _workbook_rows(raw: bytes, layout: Layout) -> Iterator[Row]:
    with _damage_refused(), warnings.catch_warnings():
        _check_members(raw)
        warnings.simplefilter("ignore")
        book = load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
        if layout.sheet and layout.sheet not in book.sheetnames:
            raise Wrong("sheet", "unknown-layout", f"There is no sheet {layout.sheet!r}.")
        sheet = book[layout.sheet] if layout.sheet else book.worksheets[0]
        sheet.reset_dimensions()
        for number, cells in enumerate(sheet.iter_rows(max_col=COLUMNS_MAX, values_only=True), 1):
            yield number, [_cell(cell, number) for cell in cells]


@contextmanager
def _damage_refused() -> Iterator[None]:
    """Turn whatever the libraries raise when they are fed with damage into a refusal; they fail in many ways."""
    try:
        yield
    except Wrong:
        raise
    except DefusedXmlException as error:
        raise Wrong("file", "document-type") from error
    except Exception as error:
        raise Wrong("file", "not-workbook") from error


def _check_members(raw: bytes) -> None:
    """Refuse a zip that is damaged, that unpacks to too much, or whose XML brings a document type."""
    with ZipFile(io.BytesIO(raw)) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        if len(members) > MEMBERS_MAX or unpacked > min(UNPACKED_MAX, TIMES_SMALLER_MAX * len(raw)):
            raise Wrong("file", "too-large", f"It would unpack to {unpacked} bytes.")
        for member in members:
            if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise Wrong("file", "not-workbook", "It is packed in a way that workbooks are not.")
            if member.filename.endswith((".xml", ".rels")):
                _check_member(archive.read(member))


def _check_member(raw: bytes) -> None:
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise Wrong("file", "document-type")
    if b"\0" in raw:  # UTF-16 or UTF-32, in which a document type would not be seen
        raise Wrong("file", "not-text", "The sheets of a workbook must be in UTF-8.")


def _cell(value: object, row: int) -> Cell:
    """Return a cell as text or day. A number has at most the 15 digits that a spreadsheet's numbers hold."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, bool | time):
        return str(value)
    if isinstance(value, date):
        return value
    if isinstance(value, float):
        text = f"{value:.15g}"
        if "e" in text or "n" in text:
            raise Wrong("cell", "malformed", "A number is too large or too small to be one.", row=row)
        return text
    return str(value).strip()
