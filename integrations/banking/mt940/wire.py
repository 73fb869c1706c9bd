"""A file of MT940 statements, read. Pure: bytes in, values out.

The fields themselves are read by the library mt-940; what it takes leniently is checked here: one opening and one closing
balance a page, pages that follow from one another, lines counted. A page opens with :60F: or, within a statement, :60M: and
closes with :62F: or :62M:. Source: SWIFT Standards MT, category 9, MT940 Customer Statement Message.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from mt940.models import Transactions
from mt940.options import Options
from mt940.tags import StatementGLS

from engine.kernel.amounts import Asset
from engine.kernel.file_values import currency_of, minor_units, sha256_of
from engine.kernel.files import Wrong
from engine.kernel.statements import (
    Side,
    Statement,
    StatementFile,
    StatementKind,
    StatementLine,
    check_chain,
    check_succession,
)

BYTES_MAX = 64_000_000
NO_REFERENCE = frozenset({"", "NONREF", "NOTPROVIDED"})

_PAGE = re.compile(r"^:20:", re.MULTILINE)
_TAG = re.compile(r"^:([0-9]{2}[A-Z]?):", re.MULTILINE)
_END_TO_END = re.compile(r"/EREF/([^/\n]{1,35})")
_SIDES = {"C": Side.CREDIT, "RD": Side.CREDIT, "D": Side.DEBIT, "RC": Side.DEBIT}
"""The mark of a line: R takes back, so that the reversal of a debit comes in."""
# The library would move a 31st of February to the 28th.
_PROCESSORS: dict[str, list[Any]] = {"pre_statement": []}
# The standard tag cuts a customer's reference after 16 characters and lets the rest spill into the next field.
_TAGS: dict[int | str, Any] = {61: StatementGLS()}


@dataclass(frozen=True, slots=True)
class _Page:
    statement: Statement
    row: int
    is_first: bool
    is_last: bool


def read_statements(raw: bytes, name: str) -> StatementFile:
    """Return the statements of the file, pages of one statement joined.

    Raises:
        FileRefused: it is not whole MT940, a value is wrong, or balances do not follow from one another.

    """
    try:
        statements = _read(raw)
    except Wrong as wrong:
        raise wrong.refused(name) from wrong
    return StatementFile(name, sha256_of(raw), statements)


def _read(raw: bytes) -> tuple[Statement, ...]:
    text = _decode(raw)
    starts = [match.start() for match in _PAGE.finditer(text)]
    if not starts:
        raise Wrong(":20:", "missing")
    ends = [*starts[1:], len(text)]
    pages = []
    row = 1 + text.count("\n", 0, starts[0])
    for start, end in zip(starts, ends, strict=True):
        pages.append(_page(text[start:end], row))
        row += text.count("\n", start, end)
    check_succession([page.statement for page in pages], [page.row for page in pages])
    return tuple(_join(pages))


def _decode(raw: bytes) -> str:
    if not raw.strip():
        raise Wrong("file", "empty-file")
    if len(raw) > BYTES_MAX:
        raise Wrong("file", "too-large", f"It has {len(raw)} bytes; the most is {BYTES_MAX}.")
    if b"\0" in raw:
        raise Wrong("file", "not-text")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # banks' own letters in names; no figure is written with them
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _page(text: str, first_row: int) -> _Page:
    """Read from one :20: to the next; what stands behind the closing balance is about no line and is left out."""
    tags = list(_tags(text, first_row))
    _, opens = _only(tags, ("60F", "60M"), first_row)
    closing_tag, closes = _only(tags, ("62F", "62M"), first_row)
    end = next((at for _, at, row in tags if row > closes), len(text))
    rows = [row for tag, _, row in tags if tag == "61"]
    if any(not opens < row < closes for row in rows):
        raise Wrong(":61:", "out-of-order", "Lines stand between the balances.", row=rows[-1])
    read = _parse(text[:end], first_row)
    opening = _balance(read.data, ("final_opening_balance", "intermediate_opening_balance"), opens)
    closing = _balance(read.data, ("final_closing_balance", "intermediate_closing_balance"), closes)
    currency = currency_of(opening.currency, ":60F:", row=opens)
    if closing.currency != opening.currency:
        raise Wrong(f":{closing_tag}:", "currency-differs", row=closes)
    if len(rows) != len(read.transactions):
        raise Wrong(":61:", "count-differs", row=first_row)
    number = str(read.data.get("statement_number") or "")
    statement = Statement(
        kind=StatementKind.STATEMENT,
        account=_account(read.data, first_row),
        currency=currency,
        lines=tuple(_line(one.data, currency, row) for one, row in zip(read.transactions, rows, strict=True)),
        opening=minor_units(opening.amount, currency, ":60F:", row=opens),
        closing=minor_units(closing.amount, currency, f":{closing_tag}:", row=closes),
        opened_on=opening.day,
        closed_on=closing.day,
        reference=str(read.data.get("transaction_reference") or "").strip(),
        number=int(number) if number.isdecimal() else None,
    )
    check_chain(statement, row=closes)
    return _Page(statement, first_row, "60F" in {tag for tag, _, _ in tags}, closing_tag == "62F")


def _tags(text: str, first_row: int) -> Iterator[tuple[str, int, int]]:
    """Yield each field's tag, where it begins, and its line of the file."""
    row, at = first_row, 0
    for match in _TAG.finditer(text):
        row += text.count("\n", at, match.start())
        at = match.start()
        yield match[1], at, row


def _only(tags: Sequence[tuple[str, int, int]], wanted: Sequence[str], first_row: int) -> tuple[str, int]:
    found = [(tag, row) for tag, _, row in tags if tag in wanted]
    if not found:
        raise Wrong(f":{wanted[0]}:", "missing", row=first_row)
    if len(found) > 1:
        raise Wrong(f":{found[1][0]}:", "repeated", row=found[1][1])
    return found[0]


def _parse(text: str, first_row: int) -> Transactions:
    """Read the fields. The library is given the text itself: its front door would take a text for a file's name."""
    read = Transactions(_PROCESSORS, _TAGS, options=Options.all())
    try:
        read.parse(text)
    except (RuntimeError, ValueError, ArithmeticError, KeyError, TypeError) as error:
        raise Wrong("page", "malformed", "A field of the page cannot be read.", row=first_row) from error
    return read


@dataclass(frozen=True, slots=True)
class _Balance:
    currency: str
    amount: str
    day: date


def _balance(data: Mapping[str, Any], names: Sequence[str], row: int) -> _Balance:
    found = next((data[name] for name in names if name in data), None)
    amount = getattr(found, "amount", None)
    day = getattr(found, "date", None)
    if amount is None or day is None:
        raise Wrong("balance", "malformed", row=row)
    return _Balance(str(amount.currency), str(amount.amount), _day(day))


def _account(data: Mapping[str, Any], row: int) -> str:
    account = str(data.get("account_identification") or "").strip()
    if not account:
        raise Wrong(":25:", "missing", row=row)
    return account


def _day(value: Any) -> date:
    return date(value.year, value.month, value.day)


def _line(data: Mapping[str, Any], currency: Asset, row: int) -> StatementLine:
    mark = str(data.get("status") or "").upper()
    if mark not in _SIDES or "amount" not in data or "date" not in data:
        raise Wrong(":61:", "malformed", row=row)
    value_on = _day(data["date"])
    said = {key: str(data.get(key) or "").strip() for key in ("transaction_details", "purpose", "extra_details")}
    return StatementLine(
        row=row,
        side=_SIDES[mark],
        amount=abs(minor_units(str(data["amount"].amount), currency, ":61:", row=row)),
        booked_on=_day(data["entry_date"]) if data.get("entry_date") else value_on,
        value_on=value_on,
        end_to_end_id=_end_to_end_id(data, said["transaction_details"]),
        bank_ref=_reference(data.get("bank_reference")),
        text=" ".join((said["purpose"] or said["transaction_details"] or said["extra_details"]).split()),
        other_party=str(data.get("applicant_name") or "").strip(),
        other_account=str(data.get("applicant_iban") or "").strip(),
        code=str(data.get("id") or "").strip(),
        is_reversal=mark.startswith("R"),
    )


def _end_to_end_id(data: Mapping[str, Any], details: str) -> str:
    """Return the payment's own id: where the details name one, else the customer's reference of the line."""
    named = _END_TO_END.search(details)
    candidates = (data.get("end_to_end_reference"), named[1] if named else "", data.get("customer_reference"))
    return next((found for one in candidates if (found := _reference(one))), "")


def _reference(value: object) -> str:
    text = str(value or "").strip()
    return "" if text in NO_REFERENCE else text


def _join(pages: Sequence[_Page]) -> Iterator[Statement]:
    """Yield whole statements: a page that does not close one is continued by the next."""
    open_page: _Page | None = None
    for page in pages:
        statement = page.statement
        if open_page is not None:
            if page.is_first or page.statement.account != open_page.statement.account:
                raise Wrong(":60M:", "missing", "The page before it is continued by none.", row=page.row)
            statement = replace(
                statement,
                lines=open_page.statement.lines + statement.lines,
                opening=open_page.statement.opening,
                opened_on=open_page.statement.opened_on,
                reference=open_page.statement.reference,
            )
        elif not page.is_first:
            raise Wrong(":60F:", "missing", "The page continues none.", row=page.row)
        open_page = None if page.is_last else replace(page, statement=statement)
        if page.is_last:
            yield statement
    if open_page is not None:
        raise Wrong(":62F:", "missing", "The last page is not the statement's last.", row=open_page.row)
