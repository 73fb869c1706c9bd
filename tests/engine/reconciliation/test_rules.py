"""What a statement must be to be taken, and when a line is a receipt."""

from datetime import date
from typing import Any

import pytest

from engine.kernel.amounts import Asset
from engine.kernel.files import Wrong
from engine.kernel.statements import Side, Statement, StatementKind, StatementLine
from engine.reconciliation.rules import break_reason, check_statements, references_of

INR = Asset.currency("INR")
TODAY = date(2024, 3, 27)


def line(**changed: Any) -> StatementLine:
    given: dict[str, Any] = {"row": 2, "side": Side.CREDIT, "amount": 500, "booked_on": TODAY, "value_on": TODAY}
    return StatementLine(**given | changed)


def statement(*lines: StatementLine, **changed: Any) -> Statement:
    given: dict[str, Any] = {"kind": StatementKind.STATEMENT, "account": "TRUST 1", "currency": INR, "lines": lines}
    return Statement(**given | changed)


@pytest.mark.parametrize("account", ["", "TRUST 1", "trust1", "TRUST  1 "])
def test_a_statement_of_the_account_is_taken(account: str) -> None:
    check_statements([statement(line(), account=account)], INR, "TRUST 1", today=TODAY)


@pytest.mark.parametrize(
    ("wrong", "field", "reason", "row"),
    [
        (statement(kind=StatementKind.INTRADAY), "statement", "not-final", None),
        (statement(kind=StatementKind.NOTIFICATION), "statement", "not-final", None),
        (statement(currency=Asset.currency("KES")), "currency", "currency-differs", None),
        (statement(account="TRUST 2"), "account", "another-account", None),
        (statement(line(), line(row=7, booked_on=date(2024, 3, 28))), "date", "in-future", 7),
    ],
)
def test_another_statement_is_refused(wrong: Statement, field: str, reason: str, row: int | None) -> None:
    with pytest.raises(Wrong) as caught:
        check_statements([statement(), wrong], INR, "TRUST 1", today=TODAY)
    assert (caught.value.field, caught.value.reason, caught.value.row) == (field, reason, row)


@pytest.mark.parametrize(
    ("bank_ref", "end_to_end_id", "found"),
    [
        ("B1", "E1", ("B1", "E1")),
        ("B1", "", ("B1",)),
        ("", "E1", ("E1",)),
        (" X ", "X", ("X",)),
        ("", "", ()),
        ("B" * 65, "E" * 64, ("E" * 64,)),
    ],
)
def test_what_a_receipt_may_be_known_by(bank_ref: str, end_to_end_id: str, found: tuple[str, ...]) -> None:
    assert references_of(line(bank_ref=bank_ref, end_to_end_id=end_to_end_id)) == found


@pytest.mark.parametrize(
    ("received", "amount", "is_matched", "reason"),
    [
        (None, 5, False, "no-receipt"),
        (5, 5, False, None),
        (4, 5, False, "amount-differs"),
        (0, 5, False, "amount-differs"),
        (5, 5, True, "already-matched"),
        (None, -5, False, "money-out"),
        (5, -5, False, "money-out"),
    ],
)
def test_why_a_line_is_no_receipt(received: int | None, amount: int, is_matched: bool, reason: str | None) -> None:
    assert break_reason(received=received, amount=amount, is_matched=is_matched) == reason
