"""The arithmetic and the choices of dealing, without a database."""

import dataclasses
import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import floor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.app import KINDS
from engine.funds.errors import NoFundChoice, PriceNotUsable
from engine.funds.rules import (
    RULE_KINDS,
    Conversion,
    FundChoiceRule,
    business_days_between,
    dealing_day,
    dealing_problems,
    is_doubtful,
    run_scenario,
    split_by_choice,
)
from engine.kernel.prices import Price, units_for
from engine.kernel.rules import Dates
from engine.tenancy.rules.books import decode_book
from engine.tenancy.rules.proving import ScenarioContext
from engine.tenancy.rules.scenarios import Scenario
from engine.tenancy.service import load_pack
from tests.engine.funds.conftest import BOOK, PRODUCT, ROOT, book_of

SHARES = st.lists(st.integers(1, 10_000), min_size=1, max_size=6).map(
    lambda parts: {f"FUND{i}": share for i, share in enumerate(_to_whole(parts)) if share}
)


def _to_whole(parts: list[int]) -> list[int]:
    scaled = [part * 10_000 // sum(parts) for part in parts]
    scaled[0] += 10_000 - sum(scaled)
    return scaled


@given(amount=st.integers(0, 10**15), shares=SHARES)
def test_a_split_loses_nothing(amount: int, shares: dict[str, int]) -> None:
    parts = split_by_choice(amount, shares)
    assert sum(parts.values()) == amount
    assert all(part > 0 for part in parts.values())
    first = min(shares)
    for fund, share in shares.items():
        exact = Fraction(amount * share, 10_000)
        assert parts.get(fund, 0) == floor(exact) or fund == first
        assert parts.get(fund, 0) - exact < len(shares)


@given(
    amount=st.integers(0, 10**15),
    digits=st.integers(1, 10**9),
    scale=st.integers(0, 8),
    unit_scale=st.integers(0, 8),
    money=st.integers(0, 3),
)
def test_a_conversion_is_the_kernels_formula(amount: int, digits: int, scale: int, unit_scale: int, money: int) -> None:
    price = Price(digits, scale)
    conversion = Conversion.at(price, amount_scale=money, unit_scale=unit_scale)
    assert amount * conversion.multiplier // conversion.divisor == units_for(
        amount, amount_scale=money, price=price, unit_scale=unit_scale
    )


@pytest.mark.parametrize(
    ("price", "doubtful"),
    [
        pytest.param("105.00", False, id="exactly the tolerance up"),
        pytest.param("105.0001", True, id="more than the tolerance up"),
        pytest.param("95", False, id="exactly the tolerance down"),
        pytest.param("94.9999", True, id="more than the tolerance down"),
        pytest.param("100.0000", False, id="written with more decimals"),
    ],
)
def test_a_price_that_moved_too_far_is_doubtful(price: str, doubtful: bool) -> None:
    assert is_doubtful(Price.of(Decimal(price)), Price.of(Decimal("100.0")), 500) is doubtful


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        pytest.param("2023-04-03T09:29:59", date(2023, 4, 3), id="before the cut-off"),
        pytest.param("2023-04-03T09:30:59", date(2023, 4, 3), id="in its minute"),
        pytest.param("2023-04-03T09:31:00", date(2023, 4, 4), id="after it"),
        pytest.param("2023-04-03T18:31:00", date(2023, 4, 4), id="after midnight in India"),
    ],
)
def test_cash_belongs_to_the_next_cut_off(instant: str, day: date) -> None:
    now = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    assert dealing_day(now, "Asia/Kolkata", "15:00") == day


def test_business_days_leave_out_weekends_and_holidays() -> None:
    days = business_days_between(date(2023, 4, 6), date(2023, 4, 11), [date(2023, 4, 7)])
    assert days == [date(2023, 4, 10), date(2023, 4, 11)]
    assert business_days_between(date(2023, 4, 6), date(2023, 4, 6), []) == []


def test_a_group_without_a_choice_takes_the_default() -> None:
    rule = FundChoiceRule(
        id="choice", source="test", confidence="high", by_group={"one": {"AAAA": 10_000}}, default={"BBBB": 10_000}
    )
    assert rule.shares_for("one") == {"AAAA": 10_000}
    assert rule.shares_for("") == {"BBBB": 10_000}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(
            'kind = "fund-choice"\ndefault = { AAAA = 9999 }', "10000 basis points", id="shares below the whole"
        ),
        pytest.param('kind = "fund-choice"', "by_group or default", id="no choice at all"),
        pytest.param('kind = "dealing"\nresidue_to = "scheme"\ncut_off = "24:00"', "HH:MM", id="no such hour"),
        pytest.param('kind = "price-tolerance"\nmove_bp = 0', "at least 1", id="a tolerance of nothing"),
        pytest.param(
            'kind = "funds"\nfunds = [{ code = "INR", name = "x", manager = "m", unit_scale = 4 }]',
            "4 to 24",
            id="a fund named like a currency",
        ),
        pytest.param('kind = "dealing"\nresidue_to = "scheme"\ncutoff = "15:00"', "cutoff", id="an unknown key"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(body: str, reason: str) -> None:
    text = f'[[rule]]\nid = "the-rule"\nsource = "test"\nconfidence = "high"\n{body}\n'
    _, problems = decode_book("p", {"p/rules/2020-01-01.toml": text.encode()}, RULE_KINDS)
    assert any(reason in f"{problem.key} {problem.reason}" for problem in problems), problems


def run(given: dict[str, object], on: date = date(2023, 6, 1)) -> dict[str, str]:
    pack = load_pack(ROOT / "tenants/in-nps-lite", KINDS)
    pack = dataclasses.replace(pack, books={PRODUCT: book_of(BOOK)})
    scenario = Scenario("s.toml", 1, "an example", "allotment", PRODUCT, Dates(on=on), None, given, {}, "test")
    return dict(run_scenario(ScenarioContext(pack, scenario)))


def test_a_packs_example_of_an_allotment() -> None:
    prices = {"SM001009": "32.6034", "SM002009": "31.0274", "SM003003": "9.87"}
    assert run({"amount": "500.00", "group": "first", "prices": prices}) == {
        "amounts.SM001009": "500.00",
        "units.SM001009": "15.3358",
    }
    assert run({"amount": "1.01", "group": "mixed", "prices": prices}) == {
        "amounts.SM001009": "0.35",
        "amounts.SM002009": "0.33",
        "amounts.SM003003": "0.33",
        "units.SM001009": "0.0107",
        "units.SM002009": "0.0106",
        "units.SM003003": "0.033",
    }


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        pytest.param({"amount": "5", "group": "nobody", "prices": {}}, NoFundChoice, id="a group without a fund"),
        pytest.param({"amount": "5", "group": "first", "prices": {"SM001009": "-1"}}, PriceNotUsable, id="no price"),
        pytest.param({"amount": "5", "group": "first", "prices": {"SM001009": "x"}}, PriceNotUsable, id="no number"),
    ],
)
def test_an_example_is_refused_as_the_engine_would(given: dict[str, object], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        run(given)


@pytest.mark.parametrize("old", ['kind = "investing"', ""])
def test_a_product_that_deals_says_who_bears_what_a_reversal_lost(tmp_path: Path, old: str) -> None:
    copy = tmp_path / "in-nps-lite"
    shutil.copytree(ROOT / "tenants/in-nps-lite", copy)
    page = copy / "nps-lite/rules/2010-04-01.toml"
    blocks = page.read_text().split("[[rule]]")
    kept = [one for one in blocks if not old or old not in one]
    assert len(kept) == len(blocks) - bool(old)
    page.write_text("[[rule]]".join(kept))
    problems = dealing_problems(load_pack(copy, KINDS))
    assert [(one.file, one.key) for one in problems] == ([("nps-lite/rules/2010-04-01.toml", "dealing")] if old else [])
