"""Reading a statement, without a database."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.amounts import Asset
from engine.reconciliation.rules import BadRow, StatementLine, break_reason, read_statement

INR, RWF = Asset.currency("INR"), Asset.currency("RWF")
TODAY = date(2023, 4, 3)
HEADER = "date,reference,amount,currency\n"


def read(text: str | bytes, asset: Asset = INR) -> list[StatementLine | BadRow]:
    raw = text if isinstance(text, bytes) else text.encode()
    return list(read_statement(raw, asset, today=TODAY))


def test_lines_are_read_with_and_without_balance() -> None:
    assert read(f"{HEADER}2023-04-01,UPI-1,500.00,INR\n2023-04-03,UPI-2,0.5,INR\n") == [
        StatementLine(2, date(2023, 4, 1), "UPI-1", 50000),
        StatementLine(3, date(2023, 4, 3), "UPI-2", 50),
    ]
    assert read(b"\xef\xbb\xbfdate,reference,amount,currency,balance\r\n2023-04-01,a b,7,INR,-12.5\r\n") == [
        StatementLine(2, date(2023, 4, 1), "a b", 700)
    ]
    assert read("date,reference,amount,currency\n2023-04-01,x,7,RWF\n", RWF) == [
        StatementLine(2, date(2023, 4, 1), "x", 7)
    ]


def test_a_statement_without_lines_is_empty() -> None:
    assert read(HEADER) == []


@pytest.mark.parametrize(
    ("row", "field"),
    [
        pytest.param("2023-02-30,x,1,INR", "date", id="no such day"),
        pytest.param("20230401,x,1,INR", "date", id="a compact date"),
        pytest.param("2023-W13-6,x,1,INR", "date", id="a week date"),
        pytest.param("2023-04-04,x,1,INR", "date", id="after today"),
        pytest.param("2023-04-01,,1,INR", "reference", id="no reference"),
        pytest.param("2023-04-01, x,1,INR", "reference", id="a blank before it"),
        pytest.param("2023-04-01,é,1,INR", "reference", id="not ASCII"),
        pytest.param(f"2023-04-01,{'x' * 65},1,INR", "reference", id="too long"),
        pytest.param("2023-04-01,x,0,INR", "amount", id="nothing"),
        pytest.param("2023-04-01,x,-1,INR", "amount", id="a debit"),
        pytest.param("2023-04-01,x,1.001,INR", "amount", id="below the smallest unit"),
        pytest.param("2023-04-01,x,1e3,INR", "amount", id="an exponent"),
        pytest.param("2023-04-01,x,NaN,INR", "amount", id="no number"),
        pytest.param('2023-04-01,x,"1,000",INR', "amount", id="grouped digits"),
        pytest.param("2023-04-01,x,١,INR", "amount", id="other digits"),
        pytest.param("2023-04-01,x,99999999999999.00,INR", "amount", id="too large"),
        pytest.param("2023-04-01,x,1,USD", "currency", id="another currency"),
        pytest.param("2023-04-01,x,1", "row", id="a field too few"),
        pytest.param("2023-04-01,x,1,INR,5", "row", id="a field too many"),
        pytest.param('2023-04-01,"x,1,INR', "file", id="a quote that never ends"),
    ],
)
def test_a_bad_row_names_its_field(row: str, field: str) -> None:
    (bad,) = read(f"{HEADER}{row}\n")
    assert isinstance(bad, BadRow)
    assert bad.field == field
    assert bad.row >= 2


@pytest.mark.parametrize("raw", [b"", b"date,amount\n", b"Date,reference,amount,currency\n", b"\xff\xfe"])
def test_another_file_is_refused_whole(raw: bytes) -> None:
    (bad,) = read(raw)
    assert isinstance(bad, BadRow)
    assert bad.row == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    for row in read(HEADER.encode() + raw):
        assert isinstance(row, StatementLine | BadRow)


@pytest.mark.parametrize(
    ("received", "amount", "is_matched", "reason"),
    [
        (None, 5, False, "no-receipt"),
        (5, 5, False, None),
        (4, 5, False, "amount-differs"),
        (0, 5, False, "amount-differs"),
        (5, 5, True, "already-matched"),
    ],
)
def test_why_a_line_is_no_receipt(received: int | None, amount: int, is_matched: bool, reason: str | None) -> None:
    assert break_reason(received=received, amount=amount, is_matched=is_matched) == reason
