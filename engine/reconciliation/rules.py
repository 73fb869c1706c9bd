"""How a collection account's statement is read, and when a line is a receipt. Pure: no clock, no database."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from engine.kernel.amounts import Amount, Asset, NotWholeUnits

COLUMNS: Sequence[str] = ("date", "reference", "amount", "currency")
BALANCE = "balance"
LONGEST_REFERENCE = 64
LARGEST_LINE = 10**15  # smallest units; as the largest single payment


@dataclass(frozen=True, slots=True)
class StatementLine:
    """Money that came into a collection account. `row` counts from 1, the header is row 1; amount in smallest units."""

    row: int
    value_date: date
    reference: str
    amount: int


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read: which field, and why."""

    row: int
    field: str
    reason: str


class BreakReason(StrEnum):
    """Why a line is no receipt's yet."""

    NO_RECEIPT = "no-receipt"
    AMOUNT_DIFFERS = "amount-differs"
    ALREADY_MATCHED = "already-matched"


class ReceiptState(StrEnum):
    """How far a receipt has come. It is derived from what is known, never stored on the receipt."""

    RECEIVED = "received"
    SUSPENDED = "suspended"
    MATCHED = "matched"
    ALLOCATED = "allocated"
    ORDERED = "ordered"
    PRICED = "priced"
    REVERSED = "reversed"


def break_reason(*, received: int | None, amount: int, is_matched: bool) -> BreakReason | None:
    """Return why a line of `amount` is not the receipt of its reference, or None if it is.

    `received` is what that receipt booked into the line's own account; None if no receipt has the reference.
    """
    if received is None:
        return BreakReason.NO_RECEIPT
    if is_matched:
        return BreakReason.ALREADY_MATCHED
    return None if received == amount else BreakReason.AMOUNT_DIFFERS


def read_statement(raw: bytes, asset: Asset, *, today: date) -> Iterator[StatementLine | BadRow]:
    """Read a statement: CSV in UTF-8 with the header date,reference,amount,currency and perhaps balance.

    Every row is a credit: money that came in, a positive amount in major units of `asset`. Nothing is guessed, rounded
    or left out: each row is yielded as a line, or as the first thing that is wrong with it. A file that is no such CSV
    yields one BadRow for the whole and nothing more.

    Args:
        raw: the file's bytes.
        asset: the scheme's money.
        today: the scheme's date; no line is of a later one.

    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        yield BadRow(1, "file", "it is not text in UTF-8")
        return
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(rows, None)
    if header not in (list(COLUMNS), [*COLUMNS, BALANCE]):
        yield BadRow(1, "header", f"it must be {','.join(COLUMNS)} or {','.join((*COLUMNS, BALANCE))}")
        return
    try:
        for number, row in enumerate(rows, 2):
            if len(row) != len(header):
                yield BadRow(number, "row", f"it has {len(row)} fields where the header has {len(header)}")
            else:
                yield _line(number, row, asset, today)
    except csv.Error as error:
        yield BadRow(rows.line_num, "file", f"it is not CSV: {error}")


def _line(number: int, row: Sequence[str], asset: Asset, today: date) -> StatementLine | BadRow:
    day, reference, amount, currency, *balance = row
    try:
        line = StatementLine(number, _value_date(day, today), _reference(reference), _amount(amount, asset))
        _check_rest(currency, balance, asset)
    except _Wrong as wrong:
        return BadRow(number, wrong.field, wrong.reason)
    return line


class _Wrong(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason


def _value_date(text: str, today: date) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise _Wrong("date", "it is no date like 2024-03-27") from error
    if day.isoformat() != text:
        raise _Wrong("date", "it is no date like 2024-03-27")
    if day > today:
        raise _Wrong("date", f"it is after today, {today}")
    return day


def _reference(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_REFERENCE or not text.isascii() or not text.isprintable():
        raise _Wrong("reference", f"it must be 1 to {LONGEST_REFERENCE} printable ASCII characters")
    if text != text.strip():
        raise _Wrong("reference", "it begins or ends with a blank")
    return text


def _amount(text: str, asset: Asset) -> int:
    units = _units(text, asset)
    if units is None:
        raise _Wrong("amount", f"it must be a number with at most {asset.scale} decimals")
    if not 0 < units <= LARGEST_LINE:
        raise _Wrong("amount", "it must be more than zero: money that came in; debits are not taken yet")
    return units


def _check_rest(currency: str, balance: Sequence[str], asset: Asset) -> None:
    if currency != asset.symbol:
        raise _Wrong("currency", f"the account is kept in {asset.symbol}")
    if balance and not _is_number(balance[0]):
        raise _Wrong(BALANCE, "it is no number")


def _units(text: str, asset: Asset) -> int | None:
    if not _is_number(text):
        return None
    try:
        return Amount.parse(text, asset).units
    except NotWholeUnits:
        return None


def _is_number(text: str) -> bool:
    if not text or len(text) > 24 or text.strip("-0123456789."):
        return False
    try:
        Decimal(text)
    except InvalidOperation:
        return False
    return True
