"""What a statement of an account says once it was read, whatever it came as. Pure value types.

Shared by the port that asks for statements and the adapters that read them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from engine.kernel.amounts import Asset
from engine.kernel.files import Wrong

LARGEST_LINE = 10**15  # smallest units; as the largest single payment


class Side(StrEnum):
    """Which way money went, seen from the account: a credit came in, a debit went out."""

    CREDIT = "credit"
    DEBIT = "debit"


class StatementKind(StrEnum):
    """What a file says of an account.

    A STATEMENT is final and has balances that follow from one another. An INTRADAY report and a NOTIFICATION come
    earlier: they are hints, and the statement says the same again.
    """

    STATEMENT = "statement"
    INTRADAY = "intraday"
    NOTIFICATION = "notification"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """Money that moved on the account.

    `row` is the line of the file, from 1. `amount` is positive, in smallest units of the account's currency. `bank_ref` is
    the bank's or operator's own id of the movement, `end_to_end_id` the payer's or ours, as it travelled with the
    payment; either is "" where the file has none. `text` is what the payer wrote, `other_party` and `other_account` who it came
    from (or went to): personal data, which is why they are not shown. `code` is the bank's own word for the kind of
    movement; `returned_for` its code for why a payment came back. `is_reversal` marks the taking back of an earlier line.
    """

    row: int
    side: Side
    amount: int
    booked_on: date
    value_on: date
    end_to_end_id: str = ""
    bank_ref: str = ""
    text: str = field(default="", repr=False)
    other_party: str = field(default="", repr=False)
    other_account: str = field(default="", repr=False)
    code: str = ""
    returned_for: str = ""
    is_reversal: bool = False

    @property
    def movement(self) -> int:
        """Return by how much the line changes the balance, in smallest units."""
        return self.amount if self.side is Side.CREDIT else -self.amount


@dataclass(frozen=True, slots=True)
class Statement:
    """One account's movements over one or more days, in the order of the file.

    `opening` and `closing` are in smallest units, negative where overdrawn; None only where the file has no balances.
    `reference` and `number` are the bank's own, "" and None where it has none. `is_copy` says that the bank marked it a
    copy or duplicate. `not_booked` counts entries left out because they were not booked yet.
    """

    kind: StatementKind
    account: str
    currency: Asset
    lines: tuple[StatementLine, ...]
    opening: int | None = None
    closing: int | None = None
    opened_on: date | None = None
    closed_on: date | None = None
    reference: str = ""
    number: int | None = None
    is_copy: bool = False
    not_booked: int = 0

    @property
    def movement(self) -> int:
        """Return the sum of the lines, in smallest units."""
        return sum(line.movement for line in self.lines)


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file of statements that was read whole. `sha256` is that of its raw bytes, in hexadecimal."""

    name: str
    sha256: str
    statements: tuple[Statement, ...]


def check_chain(statement: Statement, *, row: int | None) -> None:
    """Refuse a statement whose opening balance and lines do not make its closing balance.

    Raises:
        Wrong: the balances do not follow from one another; `row` is where the closing balance stands.

    """
    if statement.opening is None or statement.closing is None:
        return
    reached = statement.opening + statement.movement
    if reached != statement.closing:
        asset = statement.currency
        detail = f"Opening and lines make {reached}, the closing balance is {statement.closing} (10^-{asset.scale} {asset.symbol})."
        raise Wrong("closing balance", "chain-broken", detail, row=row)


def follows(earlier: Statement, later: Statement) -> bool:
    """Return whether `later` opens where `earlier` closed: the same account and currency, no money between them."""
    return (
        (earlier.account, earlier.currency) == (later.account, later.currency)
        and earlier.closing is not None
        and earlier.closing == later.opening
    )


def check_succession(statements: Sequence[Statement], rows: Sequence[int | None]) -> None:
    """Refuse a file in which an account's next statement does not open where the one before it closed.

    Raises:
        Wrong: they do not follow; it names the row, of `rows`, of the statement that does not.

    """
    last: dict[tuple[str, Asset], Statement] = {}
    for statement, row in zip(statements, rows, strict=True):
        if statement.kind is not StatementKind.STATEMENT:
            continue
        earlier = last.get((statement.account, statement.currency))
        if earlier is not None and None not in (earlier.closing, statement.opening) and not follows(earlier, statement):
            raise Wrong("opening balance", "chain-broken", "It is not the closing balance before it.", row=row)
        last[statement.account, statement.currency] = statement


@dataclass(frozen=True, slots=True)
class Correction:
    """How a corrected statement differs from the one it replaces, as lines of each."""

    withdrawn: tuple[StatementLine, ...]
    added: tuple[StatementLine, ...]


def correction_of(earlier: Statement, later: Statement) -> Correction:
    """Return which lines of `earlier` a later version of the same statement no longer has, and which it has anew.

    Lines are the same if all they say is, wherever they stand: a line that stands twice and now once was withdrawn once.
    """
    return Correction(withdrawn=_left_over(earlier.lines, later.lines), added=_left_over(later.lines, earlier.lines))


def _left_over(lines: Sequence[StatementLine], others: Sequence[StatementLine]) -> tuple[StatementLine, ...]:
    unpaired = Counter(map(_facts, others))
    left = []
    for line in lines:
        if unpaired[_facts(line)]:
            unpaired[_facts(line)] -= 1
        else:
            left.append(line)
    return tuple(left)


def _facts(line: StatementLine) -> tuple[object, ...]:
    return (
        line.side,
        line.amount,
        line.booked_on,
        line.value_on,
        line.end_to_end_id,
        line.bank_ref,
        line.text,
        line.other_party,
        line.other_account,
        line.code,
        line.returned_for,
        line.is_reversal,
    )
