"""When a statement's line is a receipt, and what a statement must be to be taken. Pure: no clock, no database."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

from engine.kernel.amounts import Asset
from engine.kernel.files import Wrong
from engine.kernel.statements import Statement, StatementKind, StatementLine
from engine.reconciliation.rules.resolving import (
    BreakReason,
    Cause,
    Counterpart,
    Named,
    Turn,
    check_sides,
    difference_booked,
    turn_of,
)

__all__ = [
    "BreakReason",
    "Cause",
    "Counterpart",
    "Named",
    "ReceiptState",
    "Turn",
    "break_reason",
    "check_sides",
    "check_statements",
    "difference_booked",
    "references_of",
    "turn_of",
]
LONGEST_REFERENCE = 64


class ReceiptState(StrEnum):
    """How far a receipt has come. It is derived from what is known, never stored on the receipt."""

    RECEIVED = "received"
    SUSPENDED = "suspended"
    MATCHED = "matched"
    ALLOCATED = "allocated"
    ORDERED = "ordered"
    PRICED = "priced"
    REVERSED = "reversed"
    REFUNDED = "refunded"


def break_reason(*, received: int | None, amount: int, is_matched: bool) -> BreakReason | None:
    """Return why a line of `amount` is not the receipt of its reference, or None if it is.

    `received` is what that receipt booked into the line's own account; None if no receipt has the reference. Money that
    went out (`amount` < 0) is nobody's receipt.
    """
    if amount < 0:
        return BreakReason.MONEY_OUT
    if received is None:
        return BreakReason.NO_RECEIPT
    if is_matched:
        return BreakReason.ALREADY_MATCHED
    return None if received == amount else BreakReason.AMOUNT_DIFFERS


def references_of(line: StatementLine) -> tuple[str, ...]:
    """Return the references a line's receipt may be known by, the bank's own first; at most two, none longer than one may be."""
    found = (line.bank_ref.strip(), line.end_to_end_id.strip())
    return tuple(dict.fromkeys(one for one in found if 1 <= len(one) <= LONGEST_REFERENCE))


def check_statements(statements: Sequence[Statement], asset: Asset, account: str, *, today: date) -> None:
    """Refuse statements that are not final, or not of the scheme's own account and money, or of days to come.

    `account` is the collection account as its statements name it; a file that names none is taken for it.

    Raises:
        Wrong: what is wrong, and where.
    """
    for statement in statements:
        if statement.kind is not StatementKind.STATEMENT:
            raise Wrong("statement", "not-final")
        if statement.currency != asset:
            raise Wrong("currency", "currency-differs", f"The account is kept in {asset.symbol}.")
        if statement.account and _compact(statement.account) != _compact(account):
            raise Wrong("account", "another-account", f"Expected is {account}.")
        for line in statement.lines:
            if line.booked_on > today:
                raise Wrong("date", "in-future", f"Today is {today}.", row=line.row)


def _compact(account: str) -> str:
    return "".join(account.split()).casefold()
