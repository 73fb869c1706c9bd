"""The files of a scheme that is taken over: a manifest, and CSV files of members, holdings and history. Pure.

`manifest.toml` names the files and says what they must come to; nothing is taken that does not agree with it. Amounts are in
major units, units to their fund's decimals, days ISO 8601.

- members: the columns of an enrolment file, and old_number, joined_on, first_contribution_on, last_withdrawal_on; or, in a file that
  ends in .jsonl, one JSON object a line with those and `application`, as the API takes it, and `earlier_numbers`.
- holdings: old_number, product, pot, origin, fund (blank: money), amount, cost (what the units were bought for; blank for money).
- history: old_number, product, pot, origin, paid_on, amount, payments: what was paid in, by payment, or summed with its last day.
"""

import csv
import hashlib
import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from engine.enrolment.rules import MOST_BYTES, MOST_ROWS, Application, MembersRow, RowProblem, plain_words
from engine.kernel.amounts import Amount, Asset, NotWholeUnits
from engine.opening.errors import UnreadableOpening

MANIFEST = "manifest.toml"
LINES = ".jsonl"
LEGACY_COLUMNS = ("old_number", "joined_on", "first_contribution_on", "last_withdrawal_on")
HOLDING_COLUMNS = ("old_number", "product", "pot", "origin", "fund", "amount", "cost")
HISTORY_COLUMNS = ("old_number", "product", "pot", "origin", "paid_on", "amount", "payments")
MOST_DIGITS = 18
_OPTIONAL = frozenset({"fund", "cost", "first_contribution_on", "last_withdrawal_on"})
_OLD_NUMBER = re.compile(r"[0-9A-Za-z][0-9A-Za-z /._-]{0,39}")

FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Figure = Annotated[str, Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,8})?$")]
Code = Annotated[str, Meta(min_length=1, max_length=40)]


class Counts(Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows the files of each kind hold."""

    members: Annotated[int, Meta(ge=1)]
    holdings: Annotated[int, Meta(ge=0)]
    history: Annotated[int, Meta(ge=0)] = 0


class Total(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all members hold of one pot, origin and fund ("": money), and what it cost."""

    product: Code
    pot: Code
    origin: Code
    fund: str = ""
    amount: Figure
    cost: Figure = "0"


class PaidTotal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all members paid into one pot by one origin."""

    product: Code
    pot: Code
    origin: Code
    amount: Figure


class Cash(Struct, frozen=True, forbid_unknown_fields=True):
    """The scheme's money that members' money lies in: in which collection account, and how much."""

    channel: Code
    amount: Figure


class FundHolding(Struct, frozen=True, forbid_unknown_fields=True):
    """Units that a fund's manager holds for the scheme; `residue` of them belong to no member."""

    code: Code
    units: Figure
    residue: Figure = "0"


class AgreedText(Struct, frozen=True, forbid_unknown_fields=True):
    """A text of the old scheme that its members agreed to, and that is let stand for the consent of that name here."""

    consent: Code
    version: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the files must come to. `as_of` is the last day of the old books; balances open on the next.

    With `joins_known`, whoever is a member of the product here already, by a document, is credited as that member, not refused.
    """

    scheme: Code
    source: Annotated[str, Meta(min_length=1, max_length=80)]
    as_of: date
    members: Annotated[tuple[FileName, ...], Meta(min_length=1)]
    holdings: tuple[FileName, ...] = ()
    history: tuple[FileName, ...] = ()
    counts: Counts
    totals: tuple[Total, ...] = ()
    paid: tuple[PaidTotal, ...] = ()
    cash: Cash | None = None
    funds: tuple[FundHolding, ...] = ()
    texts: tuple[AgreedText, ...] = ()
    joins_known: bool = False

    @property
    def agreed(self) -> frozenset[tuple[str, str]]:
        """Return (consent, version) of the old scheme's texts that are let stand."""
        return frozenset((one.consent, one.version) for one in self.texts)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of all files, in the order they are read."""
        return (*self.members, *self.holdings, *self.history)


def opens_on(as_of: date) -> date:
    """Return the business day that balances of the old books' last day open on: the next."""
    return as_of + timedelta(days=1)


def read_manifest(raw: bytes) -> Manifest:
    """Return what a manifest says.

    Raises:
        UnreadableOpening: it is no TOML of this form, or names a file twice.
    """
    try:
        found = msgspec.convert(tomllib.loads(raw.decode("utf-8")), Manifest)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise UnreadableOpening(file=MANIFEST, reason=str(error).rstrip(".")) from None
    if len(set(found.files)) != len(found.files):
        raise UnreadableOpening(file=MANIFEST, reason="it names a file twice")
    return found


def opening_digest(files: Mapping[str, str]) -> str:
    """Return the SHA-256 that stands for a manifest and its files: over their names and digests, in their order."""
    return hashlib.sha256("".join(f"{name} {sha256}\n" for name, sha256 in files.items()).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is not blank: its place in the file (the header is row 1), and its cells by column."""

    row: int
    cells: Mapping[str, str]


def read_rows(raw: bytes, file: str, columns: Sequence[str]) -> Iterator[Row | RowProblem]:
    """Read a CSV file in UTF-8 with a header, separated by commas or semicolons, row by row.

    Args:
        raw: its bytes; a byte order mark is understood.
        file: its name, for messages.
        columns: those it has, each once, in any order; a cell may be blank where the column need not be filled.

    Raises:
        UnreadableOpening: it is no text in UTF-8, too large, or has other columns.
    """
    if len(raw) > MOST_BYTES:
        raise UnreadableOpening(file=file, reason=f"it is larger than {MOST_BYTES} bytes; split it")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableOpening(file=file, reason=f"byte {error.start + 1} is not UTF-8") from None
    first = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True
    )
    try:
        header = [cell.strip().lower() for cell in next((cells for cells in reader if any(cells)), [])]
        if sorted(header) != sorted(columns):
            raise UnreadableOpening(file=file, reason=f"its columns must be {', '.join(columns)}")
        count = 0
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            count += 1
            if count > MOST_ROWS:
                raise UnreadableOpening(file=file, reason=f"it has more than {MOST_ROWS} rows; split it")
            yield _row(header, cells, file, reader.line_num)
    except csv.Error as error:
        raise UnreadableOpening(file=file, reason=f"line {reader.line_num}: {error}") from None


def _row(header: Sequence[str], cells: Sequence[str], file: str, row: int) -> Row | RowProblem:
    if len(cells) != len(header):
        return RowProblem(file, row, "row", f"it has {len(cells)} cells, and the header {len(header)}")
    given = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name, cell in given.items():
        if not cell and name not in _OPTIONAL:
            return RowProblem(file, row, name, "it is blank")
    if not _OLD_NUMBER.fullmatch(given["old_number"]):
        return RowProblem(file, row, "old_number", OLD_NUMBER_ALLOWED)
    return Row(row, given)


class MemberLine(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member in a file of JSON lines."""

    old_number: Annotated[str, Meta(max_length=40)]
    earlier_numbers: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=20)] = ()
    joined_on: date
    first_contribution_on: date | None = None
    last_withdrawal_on: date | None = None
    application: Application


def read_member_lines(raw: bytes, file: str) -> tuple[list[MembersRow], list[RowProblem]]:
    """Read a file of members in JSON lines; return those that can be read, and those that cannot.

    Raises:
        UnreadableOpening: it is too large.
    """
    lines = [line for line in raw.split(b"\n") if line.strip()]
    if len(raw) > MOST_BYTES or len(lines) > MOST_ROWS:
        raise UnreadableOpening(file=file, reason=f"it is larger than {MOST_BYTES} bytes or {MOST_ROWS} rows; split it")
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            one = msgspec.json.decode(line, type=MemberLine)
        except msgspec.ValidationError as error:
            problems.append(RowProblem(file, number, *plain_words(error)))
        except msgspec.DecodeError:
            problems.append(RowProblem(file, number, "row", "it is no JSON object"))
        else:
            days = {
                name: "" if day is None else day.isoformat()
                for name, day in (
                    ("joined_on", one.joined_on),
                    ("first_contribution_on", one.first_contribution_on),
                    ("last_withdrawal_on", one.last_withdrawal_on),
                )
            }
            beside = {**days, "old_number": one.old_number}
            rows.append(MembersRow(number, str(number), one.application, beside, one.earlier_numbers))
    return rows, problems


OLD_NUMBER_ALLOWED = "allowed: 1 to 40 letters of a to z, digits, blanks and / . _ -, the first a letter or digit"


class Wrong(Exception):
    """A value that cannot stand in its field, and what can."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason


def old_number(text: str) -> str:
    """Return an old number as written; Wrong if it cannot be one."""
    if not _OLD_NUMBER.fullmatch(text):
        raise Wrong("old_number", OLD_NUMBER_ALLOWED)
    return text


def one_of(cells: Mapping[str, str], field: str, allowed: Sequence[str]) -> str:
    """Return a cell that must be one of a few; Wrong if it is none of them."""
    if cells[field] not in allowed:
        raise Wrong(field, f"allowed: {', '.join(allowed) or 'nothing'}")
    return cells[field]


def positive(cells: Mapping[str, str], field: str, asset: Asset, *, least: int = 1) -> int:
    """Return a cell's amount in smallest units of its asset, at least `least`; Wrong if it is none."""
    text = cells[field]
    try:
        units = Amount.parse(text, asset).units if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{0,8})?", text) else -1
    except NotWholeUnits:
        units = -1
    if not least <= units < 10**MOST_DIGITS:
        raise Wrong(field, f"allowed: an amount of at most {asset.scale} decimals, from {least} smallest unit on")
    return units


def day_until(cells: Mapping[str, str], field: str, last: date) -> date | None:
    """Return a cell's day, at the latest `last`; None if it is blank; Wrong if it is none."""
    text = cells.get(field, "")
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.max
    if day > last:
        raise Wrong(field, f"allowed: a day as YYYY-MM-DD, until {last.isoformat()}")
    return day


def day_by(cells: Mapping[str, str], field: str, last: date) -> date:
    """Return a cell's day, at the latest `last`; Wrong if it is none or blank."""
    day = day_until(cells, field, last)
    if day is None:
        raise Wrong(field, "it is blank")
    return day


def whole(cells: Mapping[str, str], field: str) -> int:
    """Return a cell's whole number from 1 to a million; Wrong if it is none."""
    text = cells[field]
    if not re.fullmatch(r"[1-9][0-9]{0,6}", text):
        raise Wrong(field, "allowed: a whole number from 1 to 9999999")
    return int(text)
