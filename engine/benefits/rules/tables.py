"""Published tables looked up by whole numbers: contribution charts, annuity factors, life tables. Pure: bytes in, figures out.

A table is a CSV file. Its first columns are keys; each other column holds figures, and a column named like it with
"_basis" behind says of each figure whether it was published or worked out by somebody else than the publisher.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, get_args

from engine.benefits.rules.annuities import Rounding

Mark = Literal["sourced", "computed"]
MARKS: tuple[Mark, ...] = get_args(Mark)
BASIS = "_basis"


class UnusableTable(ValueError):
    """A table's file is not what its pack says it is. The message names file, line, reason and fix."""


class NotInTable(LookupError):
    """A table has no row for the keys asked for. The message says which it has."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a table, exactly as it stands there, and whether it was published or computed."""

    value: Fraction
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """What a pack says of a table: its file's name, key columns, SHA-256 in hexadecimal digits, and where it is from.

    `key_rounding` turns a key that is no whole number, such as an exact age, into one: "down" is the age last birthday.
    `mark` holds for columns without a basis column of their own.
    """

    file: str
    keys: tuple[str, ...]
    sha256: str
    source: str
    key_rounding: Literal["down", "up", "half-up", "half-even"]
    mark: Mark = "sourced"


@dataclass(frozen=True, slots=True)
class Table:
    """A table as read: each row's figures by the whole numbers that are its keys."""

    spec: TableSpec
    columns: tuple[str, ...]
    rows: Mapping[tuple[int, ...], Mapping[str, Figure]] = field(repr=False)

    def figure(self, column: str, *keys: int | Fraction) -> Figure:
        """Return the figure of `column` in the row of `keys`, in the order of the spec's key columns.

        Raises:
            NotInTable: there is no such row; nothing is ever carried over from a neighbour.
        """
        assert column in self.columns, (column, self.columns)
        rounding = Rounding(self.spec.key_rounding)
        row = tuple(rounding.money(Fraction(key)) for key in keys)
        if row not in self.rows:
            raise NotInTable(f"{self.spec.file} has no row {self._named(row)}; it has {self._ranges()}")
        return self.rows[row][column]

    def _named(self, row: Sequence[int]) -> str:
        return ", ".join(f"{name} {key}" for name, key in zip(self.spec.keys, row, strict=True))

    def _ranges(self) -> str:
        by_key = zip(self.spec.keys, zip(*self.rows, strict=True), strict=True)
        return ", ".join(f"{name} {min(values)} to {max(values)}" for name, values in by_key)


def read_table(content: bytes, spec: TableSpec) -> Table:
    """Return the table in `content`, the bytes of its file.

    Raises:
        UnusableTable: the checksum differs, a column is missing, or a line is not what the header promises.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != spec.sha256:
        raise UnusableTable(
            f"{spec.file}: its SHA-256 is {found}, the pack says {spec.sha256}. "
            "Restore the file, or check the new figures against their source and write the new sum"
        )
    try:
        reader = csv.DictReader(io.StringIO(content.decode()), quoting=csv.QUOTE_NONE)
    except UnicodeDecodeError as error:
        raise UnusableTable(f"{spec.file}: byte {error.start} is no UTF-8; save the file as UTF-8") from error
    header = tuple(reader.fieldnames or ())
    if header[: len(spec.keys)] != spec.keys:
        raise UnusableTable(f"{spec.file}, line 1: the first columns must be {', '.join(spec.keys)}")
    if len(set(header)) != len(header):
        raise UnusableTable(f"{spec.file}, line 1: each column may stand once; rename or remove one")
    columns = tuple(name for name in header[len(spec.keys) :] if not name.endswith(BASIS))
    rows: dict[tuple[int, ...], Mapping[str, Figure]] = {}
    for line, row in _lines(reader, spec):
        key = tuple(_whole(row[name], f"{spec.file}, line {line}, {name}") for name in spec.keys)
        if key in rows:
            raise UnusableTable(f"{spec.file}, line {line}: these keys stand in an earlier line too; remove one")
        rows[key] = {name: _figure(row, name, spec, line) for name in columns}
    if not rows or not columns:
        raise UnusableTable(f"{spec.file}: there are no figures; a table has at least one column and one line of them")
    return Table(spec, columns, rows)


def _lines(reader: "csv.DictReader[str]", spec: TableSpec) -> Iterator[tuple[int, Mapping[str, str]]]:
    for row in reader:
        if None in row or None in row.values():
            raise UnusableTable(f"{spec.file}, line {reader.line_num}: the line must have as many fields as the header")
        yield reader.line_num, row


def _whole(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UnusableTable(f"{where}: {text!r} is no whole number; write digits only")
    return int(text)


def _figure(row: Mapping[str, str], column: str, spec: TableSpec, line: int) -> Figure:
    text, mark = row[column], row.get(column + BASIS, spec.mark)
    if not text.replace(".", "", 1).isdigit() or not text.isascii():
        raise UnusableTable(f"{spec.file}, line {line}, {column}: {text!r} is no decimal number; write it as 12.5")
    for known in MARKS:
        if mark == known:
            return Figure(Fraction(text), known)
    raise UnusableTable(f"{spec.file}, line {line}, {column}{BASIS}: {mark!r}; write one of {', '.join(MARKS)}")
