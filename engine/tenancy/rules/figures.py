"""A pack's figures beside its rule books: reference series and look-up tables, read from CSV and checked."""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from engine.kernel.rules import Confidence
from engine.kernel.series import Series, SeriesCode, SeriesPoint
from engine.kernel.tables import LookupTable
from engine.tenancy.errors import PackProblem
from engine.tenancy.rules.decoding import shown

SERIES_COLUMNS = ("effective_from", "published_on", "value", "source", "confidence")
Unit = Literal["percent-a-year", "percent", "index", "factor", "rate", "money"]
_PLAIN = re.compile(r"^-?[0-9]{1,15}(\.[0-9]{1,12})?$")


class SeriesNamed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A reference series of a pack; its first points, if any, stand in `series/<code>.csv`, the others are imported."""

    code: SeriesCode
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    unit: Unit
    source: Annotated[str, Meta(min_length=3)]


class TableNamed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A look-up table of a pack, `tables/<code>.csv`: the columns that are its keys, and the hash of its bytes."""

    code: SeriesCode
    name: Annotated[str, Meta(min_length=1, max_length=120)]
    keys: Annotated[tuple[str, ...], Meta(min_length=1)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="64 hexadecimal digits, as sha256sum prints")]
    source: Annotated[str, Meta(min_length=3)]
    confidence: Confidence
    assumption: str = ""


def decode_series(
    files: Mapping[str, bytes], named: Sequence[SeriesNamed]
) -> tuple[dict[str, Series], list[PackProblem]]:
    """Return the series by code with the points of their files, and everything that is wrong with them."""
    problems = _unnamed("series", files, [one.code for one in named])
    found = {}
    for one in named:
        points: list[SeriesPoint] = []
        file = f"series/{one.code}.csv"
        if file in files:
            points, reasons = read_points(file, files[file])
            problems.extend(reasons)
        found[one.code] = Series(one.code, one.unit, tuple(points))
    return found, problems


def read_points(file: str, content: bytes) -> tuple[list[SeriesPoint], list[PackProblem]]:
    """Return the points of a CSV file with the columns SERIES_COLUMNS, and what is wrong with it, by row and field."""
    problems: list[PackProblem] = []
    points: list[SeriesPoint] = []
    seen: set[tuple[date, date]] = set()
    for row, record in _records(file, content, SERIES_COLUMNS, problems):
        before = len(problems)
        effective, published = (_day(file, row, name, record, problems) for name in SERIES_COLUMNS[:2])
        value = _number(file, row, "value", record, problems)
        confidence = next((one for one in get_args(Confidence) if one == record["confidence"]), None)
        if confidence is None:
            allowed = ", ".join(get_args(Confidence))
            problems.append(
                PackProblem(file, f"row {row}, confidence", f"{shown(record['confidence'])} is not one of {allowed}")
            )
        if not record["source"]:
            problems.append(PackProblem(file, f"row {row}, source", "is missing: where the figure is from"))
        if len(problems) > before or effective is None or published is None or value is None or confidence is None:
            continue
        if (effective, published) in seen:
            problems.append(PackProblem(file, f"row {row}", "repeats a date that is in force and published already"))
        seen.add((effective, published))
        points.append(SeriesPoint(effective, published, value, record["source"], confidence))
    return points, problems


def decode_tables(
    files: Mapping[str, bytes], named: Sequence[TableNamed]
) -> tuple[dict[str, LookupTable], list[PackProblem]]:
    """Return the tables by code, and everything that is wrong with them: a table with another checksum is refused."""
    problems = _unnamed("tables", files, [one.code for one in named])
    found = {}
    for one in named:
        file = f"tables/{one.code}.csv"
        content = files.get(file)
        if content is None:
            problems.append(PackProblem(file, "", "is missing"))
            continue
        came = hashlib.sha256(content).hexdigest()
        if came != one.sha256:
            reason = f"has the checksum {came}, but pack.toml says {one.sha256}: restore the table, or state its new source and checksum"
            problems.append(PackProblem(file, "", reason))
        if one.confidence == "low" and not one.assumption:
            problems.append(
                PackProblem("pack.toml", f"tables.{one.code}.assumption", "is missing: say what was assumed")
            )
        rows: dict[tuple[str, ...], Mapping[str, str]] = {}
        for row, record in _records(file, content, one.keys, problems, exact=False):
            key = tuple(record[name] for name in one.keys)
            if key in rows:
                problems.append(PackProblem(file, f"row {row}", f"repeats {', '.join(key)}"))
            rows[key] = record
        found[one.code] = LookupTable(one.code, one.keys, rows)
    return found, problems


def _unnamed(folder: str, files: Iterable[str], codes: Sequence[str]) -> list[PackProblem]:
    allowed = ", ".join(codes) or "none"
    return [
        PackProblem(file, "", f"is named nowhere in pack.toml; {folder} named there: {allowed}")
        for file in sorted(files)
        if file.removeprefix(f"{folder}/").removesuffix(".csv") not in codes
    ]


def _records(
    file: str, content: bytes, columns: Sequence[str], problems: list[PackProblem], *, exact: bool = True
) -> Iterable[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(content.decode("utf-8", errors="replace")), strict=True)
    header = tuple(reader.fieldnames or ())
    missing = [name for name in columns if name not in header]
    if missing or (exact and set(header) != set(columns)) or len(set(header)) != len(header):
        problems.append(
            PackProblem(file, "row 1", f"the columns are {', '.join(header)}; wanted: {', '.join(columns)}")
        )
        return
    for row, record in enumerate(reader, 2):
        if None in record or None in record.values():
            problems.append(
                PackProblem(file, f"row {row}", f"has another number of fields than the header's {len(header)}")
            )
        else:
            yield row, {name: value.strip() for name, value in record.items()}


def _day(file: str, row: int, name: str, record: Mapping[str, str], problems: list[PackProblem]) -> date | None:
    try:
        return date.fromisoformat(record[name])
    except ValueError:
        problems.append(
            PackProblem(file, f"row {row}, {name}", f"{shown(record[name])} is not a date such as 2024-04-01")
        )
        return None


def _number(file: str, row: int, name: str, record: Mapping[str, str], problems: list[PackProblem]) -> Decimal | None:
    try:
        if _PLAIN.match(record[name]):
            return Decimal(record[name])
    except InvalidOperation:
        pass
    problems.append(
        PackProblem(file, f"row {row}, {name}", f"{shown(record[name])} is not a plain number such as 12.5")
    )
    return None
