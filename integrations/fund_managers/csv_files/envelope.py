"""Header and trailer of a manager's file: what it is, how many records it has and what they add up to. Pure."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from engine.kernel.file_values import YEAR_MAX, YEAR_MIN, decimal_of
from engine.kernel.files import Sequence as FileSequence
from engine.kernel.files import Wrong
from integrations.fund_managers.csv_files.layouts import FileKind, ManagerLayout

BYTES_MAX = 64_000_000
ROWS_MAX = 500_000
SEQUENCE_MAX = 10**9


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the line it stands in, and its fields by name, without the blanks around them."""

    row: int
    fields: Mapping[str, str]

    def need(self, name: str) -> str:
        """Return a field; Wrong if it is empty."""
        if not self.fields.get(name):
            raise Wrong(name, "missing", row=self.row)
        return self.fields[name]

    def get(self, name: str) -> str:
        """Return a field, "" if it is empty or the layout has none of that name."""
        return self.fields.get(name, "")


@dataclass(frozen=True, slots=True)
class Envelope:
    """A file that holds as many records, adding up to as much, as it says."""

    sequence: FileSequence
    day: date
    message_ref: str
    function: str
    records: tuple[Record, ...]


def read_envelope(raw: bytes, layout: ManagerLayout, kind: FileKind) -> Envelope:
    """Return the file's records.

    Raises:
        Wrong: it is no such file, or another kind of file, ends before its trailer, or has another count or total.

    """
    rows = _rows(raw, layout)
    if layout.files.get(kind) is None:
        raise Wrong("kind", "unknown-layout", f"The layout {layout.name} has no file of {kind}.")
    header_row, header = rows[0]
    if header[0] != layout.header_mark:
        raise Wrong("header", "missing", row=header_row)
    if len(header) != len(layout.header) + 1:
        raise Wrong(
            "header", "unknown-layout", f"It has {len(header) - 1} fields, not {len(layout.header)}.", row=header_row
        )
    said = Record(header_row, dict(zip(layout.header, header[1:], strict=True)))
    if said.need("kind") != layout.files[kind].word:
        raise Wrong("kind", "unknown-layout", f"It is not a file of {layout.files[kind].word}.", row=header_row)
    records = _records(rows, layout, kind)
    number = said.need("sequence")
    if not number.isdecimal() or not 0 < int(number) < SEQUENCE_MAX:
        raise Wrong("sequence", "malformed", row=header_row)
    return Envelope(
        sequence=FileSequence(said.need("sender"), int(number)),
        day=day_of(said, "day", layout),
        message_ref=said.get("message_ref"),
        function=said.get("function"),
        records=records,
    )


def _rows(raw: bytes, layout: ManagerLayout) -> list[tuple[int, list[str]]]:
    if not raw.strip():
        raise Wrong("file", "empty-file")
    if len(raw) > BYTES_MAX:
        raise Wrong("file", "too-large", f"It has {len(raw)} bytes; the most is {BYTES_MAX}.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Wrong("file", "not-text", "It must be in UTF-8.", row=raw.count(b"\n", 0, error.start) + 1) from error
    if "\0" in text:
        raise Wrong("file", "not-text", "It holds NUL bytes.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, [cell.strip() for cell in cells]))
            if len(rows) > ROWS_MAX:
                raise Wrong("file", "too-many-rows", f"The most is {ROWS_MAX}.")
    except csv.Error as error:
        raise Wrong("file", "malformed", "A quotation mark stands where none can.", row=reader.line_num) from error
    if not rows:
        raise Wrong("file", "empty-file")
    return rows


def _records(rows: Sequence[tuple[int, list[str]]], layout: ManagerLayout, kind: FileKind) -> tuple[Record, ...]:
    columns = layout.files[kind].columns
    trailer_row, trailer = rows[-1]
    if trailer[0] != layout.trailer_mark or len(rows) == 1:
        raise Wrong("trailer", "no-trailer", row=trailer_row)
    records = []
    for row, cells in rows[1:-1]:
        if cells[0] != layout.record_mark:
            raise Wrong("record", "out-of-order", "It has not the mark of a record.", row=row)
        if len(cells) != len(columns) + 1:
            raise Wrong("record", "malformed", f"It has {len(cells) - 1} fields, not {len(columns)}.", row=row)
        records.append(Record(row, dict(zip(columns, cells[1:], strict=True))))
    _check_trailer(Record(trailer_row, dict(zip(("count", "total"), trailer[1:], strict=False))), records, layout, kind)
    return tuple(records)


def _check_trailer(trailer: Record, records: Sequence[Record], layout: ManagerLayout, kind: FileKind) -> None:
    count = trailer.need("count")
    if not count.isdecimal() or int(count) != len(records):
        raise Wrong("count", "count-differs", f"It holds {len(records)}.", row=trailer.row)
    field = layout.files[kind].total_of
    total = sum((number_of(one, field, layout) for one in records if one.get(field)), Decimal(0))
    if number_of(trailer, "total", layout) != total:
        raise Wrong("total", "total-differs", f"Of {field} it holds {total:f}.", row=trailer.row)


def number_of(record: Record, name: str, layout: ManagerLayout) -> Decimal:
    """Return a field as a decimal; Wrong if it is empty or none."""
    text = record.need(name)
    if layout.decimal_mark == ",":
        text = text.replace(",", ".") if "." not in text else "."
    return decimal_of(text, name, row=record.row)


def day_of(record: Record, name: str, layout: ManagerLayout) -> date:
    """Return a field as a day; Wrong if it is empty or none."""
    try:
        day = datetime.strptime(record.need(name), layout.day_format).date()  # noqa: DTZ007 - the sender's own day
    except ValueError as error:
        raise Wrong(name, "date-malformed", row=record.row) from error
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise Wrong(name, "date-malformed", row=record.row)
    return day


def write_envelope(
    layout: ManagerLayout, kind: FileKind, header: Mapping[str, str], records: Sequence[Mapping[str, str]]
) -> bytes:
    """Return a file of these records; numbers in them are written with a point and get the layout's mark."""
    described = layout.files[kind]
    total = sum((Decimal(one[described.total_of]) for one in records if one.get(described.total_of)), Decimal(0))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=layout.delimiter, lineterminator="\r\n")
    said = {**header, "kind": described.word}
    writer.writerow([layout.header_mark, *(said.get(name, "") for name in layout.header)])
    for one in records:
        writer.writerow([layout.record_mark, *(_cell(one.get(name, ""), name, layout) for name in described.columns)])
    writer.writerow([layout.trailer_mark, len(records), _cell(f"{total:f}", "total", layout)])
    return out.getvalue().encode()


_NUMBERS = frozenset({"amount", "units", "price", "fees", "bid", "offer", "units_in_issue", "total"})


def _cell(text: str, name: str, layout: ManagerLayout) -> str:
    return text.replace(".", layout.decimal_mark) if name in _NUMBERS else text
