"""What is written reads back the same, in the recordkeeper's present layout."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.kernel.price_files import PublishedPrice
from integrations.fund_managers.cra_files.adapter import CraFiles
from integrations.fund_managers.cra_files.wire import read_price_file, write_price_file

FILES = Path(__file__).parents[2] / "data" / "cra_daily"
DAY = date(2023, 6, 21)
PRICE = PublishedPrice(
    fund_code="SM001009",
    manager_code="PFM001",
    name="NPS LITE",
    price_on=DAY,
    price=Decimal("32.6034"),
    row=1,
    manager_name="SBI PENSION FUNDS PRIVATE LIMITED",
)


def test_writes_the_present_layout() -> None:
    assert CraFiles().write([PRICE], DAY) == (
        b"06/21/2023,PFM001,SBI PENSION FUNDS PRIVATE LIMITED,SM001009,NPS LITE,32.6034\n"
    )


def test_a_real_file_is_written_again_byte_for_byte() -> None:
    raw = (FILES / "2023-06-21.csv").read_bytes()
    file = read_price_file(raw, name="2023-06-21.csv", day=None)

    assert write_price_file(file.prices, file.day) == raw


def test_nothing_to_write_is_an_empty_file() -> None:
    assert write_price_file([], DAY) == b""


@pytest.mark.parametrize(
    ("price", "written"), [("10", b",10.0000\n"), ("14.595", b",14.5950\n"), ("0.12345678", b",0.12345678\n")]
)
def test_writes_four_decimals_or_more(price: str, written: bytes) -> None:
    assert write_price_file([replace(PRICE, price=Decimal(price))], DAY).endswith(written)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(replace(PRICE, price_on=date(2023, 6, 22)), id="another day"),
        pytest.param(replace(PRICE, price=Decimal(0)), id="zero"),
        pytest.param(replace(PRICE, price=Decimal(-1)), id="negative"),
        pytest.param(replace(PRICE, price=Decimal("NaN")), id="not a number"),
        pytest.param(replace(PRICE, price=Decimal("1.123456789")), id="nine decimals"),
        pytest.param(replace(PRICE, fund_code="FUND1"), id="no scheme code"),
        pytest.param(replace(PRICE, manager_code=""), id="no manager code"),
        pytest.param(replace(PRICE, name="12.5"), id="a name that reads as a price"),
        pytest.param(replace(PRICE, name="SM001010"), id="a name that reads as a code"),
        pytest.param(replace(PRICE, name="06/22/2023"), id="a name that reads as a date"),
        pytest.param(replace(PRICE, name="two\nlines"), id="a name of two lines"),
    ],
)
def test_refuses_to_write_what_would_not_read_back(wrong: PublishedPrice) -> None:
    with pytest.raises(ValueError, match=r"not of|cannot be written"):
        write_price_file([wrong], DAY)


def test_refuses_to_write_two_prices_for_one_scheme() -> None:
    with pytest.raises(ValueError, match="two-prices"):
        write_price_file([PRICE, replace(PRICE, price=Decimal(33))], DAY)


NAMES = st.text(st.sampled_from("ABCXYZ aé&-./(),\"';|"), max_size=40).map(lambda text: " ".join(text.split()))
PRICES = st.integers(1, 10**13 - 1).map(lambda digits: Decimal(digits).scaleb(-8))


@settings(deadline=None)
@given(
    day=st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    rows=st.lists(
        st.tuples(st.integers(1, 999), st.integers(0, 999_999), NAMES, NAMES, PRICES),
        min_size=1,
        max_size=20,
        unique_by=lambda row: row[1],
    ),
)
def test_what_is_written_reads_back(day: date, rows: list[tuple[int, int, str, str, Decimal]]) -> None:
    prices = [
        PublishedPrice(
            fund_code=f"SM{scheme:06}",
            manager_code=f"PFM{manager:03}",
            manager_name=f"M {manager_name}".strip(" ,;|"),
            name=f"S {name}".strip(" ,;|"),
            price_on=day,
            price=price,
            row=number,
        )
        for number, (manager, scheme, manager_name, name, price) in enumerate(rows, 1)
    ]
    assume(all(not price.name.startswith('"') for price in prices))

    raw = write_price_file(prices, day)
    file = read_price_file(raw, name=f"{day}.csv", day=None)

    assert list(file.prices) == prices
    assert (file.refused, file.skipped) == ((), ())
