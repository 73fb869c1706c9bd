"""Statements as banks and operators write them outside ISO 20022: MT940, CSV and Excel. Pure."""

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import accumulate

from openpyxl import Workbook

from engine.kernel.amounts import Amount, Asset
from engine.kernel.statements import Side, Statement, StatementLine

_MPESA_HEADER = (
    "Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Balance Confirmed,"
    "Reason Type,Other Party Info,Linked Transaction ID,A/C No."
).split(",")
_MOMO_HEADER = (
    "Id,External id,Date,Status,Type,Provider category,Note/Message,From,From name,To,To name,Amount,Fee,Balance,Currency"
).split(",")


def write_mt940(*statements: Statement) -> bytes:
    """Return the statements as MT940, each on one page, as a bank sends it: lines end in CRLF, a page in a hyphen."""
    lines: list[str] = []
    for statement in statements:
        opened, closed = statement.opened_on, statement.closed_on
        assert opened and closed and statement.opening is not None and statement.closing is not None
        lines += [
            f":20:{statement.reference[:16] or 'STMT'}",
            f":25:{statement.account}",
            f":28C:{statement.number or 1:05}/001",
            f":60F:{_mt_balance(statement.opening, opened.strftime('%y%m%d'), statement.currency)}",
            *(text for line in statement.lines for text in _mt_line(line, statement.currency)),
            f":62F:{_mt_balance(statement.closing, closed.strftime('%y%m%d'), statement.currency)}",
            "-",
        ]
    return "\r\n".join([*lines, ""]).encode()


def _mt_amount(units: int, currency: Asset) -> str:
    text = f"{Amount(abs(units), currency).decimal():f}".replace(".", ",")
    return text if "," in text else f"{text},"


def _mt_balance(units: int, on: str, currency: Asset) -> str:
    return f"{'C' if units >= 0 else 'D'}{on}{currency.symbol}{_mt_amount(units, currency)}"


def _mt_line(line: StatementLine, currency: Asset) -> Iterator[str]:
    mark = "C" if line.side is Side.CREDIT else "D"
    if line.is_reversal:
        mark = "RD" if line.side is Side.CREDIT else "RC"
    reference = line.end_to_end_id if 0 < len(line.end_to_end_id) <= 16 else "NONREF"
    yield (
        f":61:{line.value_on:%y%m%d}{line.booked_on:%m%d}{mark}{_mt_amount(line.amount, currency)}"
        f"{line.code or 'NTRF'}{reference}//{line.bank_ref or 'NONREF'}"
    )
    details = f"/EREF/{line.end_to_end_id}/REMI/{line.text}" if len(line.end_to_end_id) > 16 else line.text
    if details:
        chunks = [details[start : start + 65] for start in range(0, len(details), 65)]
        yield f":86:{chunks[0]}"
        yield from chunks[1:]


def _decimal(units: int, currency: Asset) -> str:
    return f"{Amount(units, currency).decimal():f}"


def _grouped(units: int, currency: Asset) -> str:
    return f"{Amount(units, currency).decimal():,f}"


def write_generic_csv(statement: Statement) -> bytes:
    """Return the statement in Akiba's own plain layout, with balances."""
    rows = [["date", "reference", "amount", "currency", "balance"]]
    for line, balance in zip(statement.lines, _balances(statement), strict=True):
        currency = statement.currency
        amounts = [_decimal(line.movement, currency), currency.symbol, _decimal(balance, currency)]
        rows.append([line.booked_on.isoformat(), line.bank_ref, *amounts])
    return _csv(rows)


def mpesa_rows(statement: Statement) -> list[list[str]]:
    """Return the rows of an M-PESA organisation statement: newest first, balances above the table."""
    currency = statement.currency
    assert statement.opening is not None and statement.closing is not None
    rows = [
        ["Account Holder:", "AKIBA SAVINGS SCHEME"],
        ["Short Code:", statement.account],
        ["Opening Balance:", "Closing Balance:"],
        [_grouped(statement.opening, currency), _grouped(statement.closing, currency)],
        _MPESA_HEADER,
    ]
    for line, balance in reversed(list(zip(statement.lines, _balances(statement), strict=True))):
        at = f"{line.booked_on:%d-%m-%Y} 10:15:00"
        amount = _grouped(line.amount, currency)
        paid_in, withdrawn = (amount, "") if line.side is Side.CREDIT else ("", f"-{amount}")
        rows.append(
            [line.bank_ref, at, at, line.text, "Completed", paid_in, withdrawn, _grouped(balance, currency), "true",
             line.code, line.other_party, "", line.end_to_end_id]
        )  # fmt: skip
    return rows


def momo_rows(statement: Statement) -> list[list[str]]:
    """Return the rows of an MTN Mobile Money statement: newest first, a balance a row."""
    currency = statement.currency
    rows = [_MOMO_HEADER]
    for line, balance in reversed(list(zip(statement.lines, _balances(statement), strict=True))):
        rows.append(
            [line.bank_ref, line.end_to_end_id, f"{line.booked_on:%Y-%m-%d} 09:30:00", "Successful", line.code, "",
             line.text, line.other_account, line.other_party, "", "", _decimal(line.movement, currency), "0",
             _decimal(balance, currency), currency.symbol]
        )  # fmt: skip
    return rows


def _balances(statement: Statement) -> list[int]:
    """Return the balance after each line."""
    return list(accumulate((line.movement for line in statement.lines), initial=statement.opening or 0))[1:]


def write_csv(rows: Sequence[Sequence[str]]) -> bytes:
    """Return the rows as CSV in UTF-8, lines ended by CRLF."""
    return _csv(rows)


def write_workbook(rows: Sequence[Sequence[str]], *, numbers: bool = True) -> bytes:
    """Return the rows as the first sheet of an Excel workbook, amounts as numbers where `numbers` says so."""
    book = Workbook()
    sheet = book.worksheets[0]
    for row in rows:
        sheet.append([_number(cell) if numbers else cell for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _number(cell: str) -> str | float | int:
    plain = cell.replace(",", "")
    if (
        not plain
        or not plain.lstrip("-").replace(".", "", 1).isdigit()
        or plain.lstrip("-").startswith("0")
        or len(plain) > 15
    ):
        return cell
    return float(plain) if "." in plain else int(plain)


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()
