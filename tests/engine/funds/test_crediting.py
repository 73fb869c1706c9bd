"""Interest, declared returns, guarantees, the way of money into a fund, and life paths."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.funds.errors import NoFundChoice, ReturnNotDeclared, WrongMoneyState
from engine.funds.rules import (
    Benchmark,
    DeclaredReturnRule,
    FundChoiceRule,
    GuaranteeRule,
    InterestTerms,
    InvestingRule,
    LifePathRule,
    Movement,
    PathStep,
    RateStep,
    UnitPricingRule,
    YearAccount,
    apply_guarantee,
    benchmark_interest,
    credit_year,
    interest_postings,
    interest_total,
    member_shares,
    next_state,
    on_reversal,
    path_shares,
    pricing_day,
    units_of,
    year_fraction,
)
from engine.kernel.amounts import Asset
from engine.kernel.prices import Price
from engine.kernel.series import Figures, Series, SeriesPoint
from engine.tenancy.rules import InForce

JAN, JUL, NEXT = date(2023, 1, 1), date(2023, 7, 1), date(2024, 1, 1)
COMMON: dict[str, Any] = {"source": "test", "confidence": "high"}
PLAIN: dict[str, Any] = {
    "day_count": "actual/365",
    "first_day_counts": True,
    "last_day_counts": False,
    "balance": "daily",
    "interest": "compound",
    "posted_every_months": 12,
    "rounding": "half-up",
}


def terms(**changed: Any) -> InterestTerms:
    return InterestTerms(**{**PLAIN, **changed})


def rates(*steps: tuple[date, str]) -> tuple[RateStep, ...]:
    return tuple(RateStep(day, Decimal(percent)) for day, percent in steps)


def earned(how: InterestTerms, *movements: tuple[date, int], opening: int = 0, percent: str = "12") -> list[int]:
    moved = [Movement(day, minor) for day, minor in movements]
    found = interest_postings(moved, rates((JAN, percent)), how, since=JAN, until=NEXT, opening_minor=opening)
    return [one.minor for one in found]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        # 100,000 from 1 January, 36,500 on 1 March 2023 (306 days left, that day included), 12 % a year.
        pytest.param({}, 12_000 + 3_672, id="each day's balance, the first day counted"),
        pytest.param({"first_day_counts": False}, 12_000 + 3_660, id="each day's balance, the first day not counted"),
        pytest.param({"day_count": "actual/360"}, 12_167 + 3_723, id="a year of 360 days gives 365/360"),
        pytest.param({"day_count": "30/360"}, 12_000 + 3_650, id="ten months of 30 days"),
        pytest.param({"day_count": "actual/actual"}, 12_000 + 3_672, id="the days of a common year"),
        pytest.param({"day_count": "months/12", "balance": "monthly-minimum"}, 12_000 + 3_650, id="ten whole months"),
        pytest.param(
            {"day_count": "months/12", "balance": "opening-plus-part-year"}, 12_000 + 3_650, id="the rest of the year"
        ),
        pytest.param(
            {"day_count": "months/12", "balance": "opening-plus-part-year", "part_year_bp": 5_000},
            12_000 + 2_190,
            id="half a year for whatever came in it",
        ),
    ],
)
def test_a_years_interest_by_each_day_count_and_balance(how: dict[str, Any], expected: int) -> None:
    assert earned(terms(**how), (date(2023, 3, 1), 36_500), opening=100_000) == [expected]


def test_money_that_comes_after_the_first_of_a_month_waits_for_the_next_under_the_monthly_minimum() -> None:
    how = terms(day_count="months/12", balance="monthly-minimum")
    assert earned(how, (date(2023, 3, 2), 100_000)) == [9_000]
    assert earned(terms(**{**PLAIN, "day_count": "months/12", "balance": "monthly-minimum", "minimum_from_day": 5}),
                  (date(2023, 3, 5), 100_000)) == [10_000]  # fmt: skip
    assert earned(terms(**{**PLAIN, "day_count": "months/12", "balance": "monthly-minimum", "minimum_from_day": 5}),
                  (date(2023, 3, 6), 100_000)) == [9_000]  # fmt: skip


def test_money_taken_out_inside_a_month_lowers_that_months_minimum() -> None:
    how = terms(day_count="months/12", balance="monthly-minimum")
    assert earned(how, (date(2023, 6, 30), -100_000), opening=100_000) == [5_000]


@pytest.mark.parametrize(
    ("last_day_counts", "expected"),
    [pytest.param(False, 30, id="not counted: 30 days"), pytest.param(True, 31, id="counted: 31 days")],
)
def test_the_last_day_of_money_that_leaves(last_day_counts: bool, expected: int) -> None:
    how = terms(last_day_counts=last_day_counts)
    assert earned(how, (date(2023, 1, 31), -36_500), opening=36_500, percent="1") == [expected]


def test_compound_interest_earns_and_simple_interest_does_not() -> None:
    assert earned(terms(posted_every_months=6, day_count="30/360"), opening=100_000) == [6_000, 6_360]
    assert earned(terms(posted_every_months=6, day_count="30/360", interest="simple"), opening=100_000) == [6_000] * 2


def test_a_rate_that_changes_within_the_year_counts_from_its_day() -> None:
    steps = rates((JAN, "12"), (JUL, "6"))
    found = interest_postings((), steps, terms(day_count="30/360"), since=JAN, until=NEXT, opening_minor=100_000)
    assert interest_total(found) == 9_000


def test_a_leap_year_is_its_own_length_only_where_it_is_asked() -> None:
    assert year_fraction(date(2024, 1, 1), date(2025, 1, 1), "actual/actual") == 1
    assert year_fraction(date(2024, 1, 1), date(2025, 1, 1), "actual/365") == Fraction(366, 365)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"day_count": "months/12"}, "daily balance"),
        ({"minimum_from_day": 5}, "monthly-minimum"),
        ({"part_year_bp": 5000}, "opening-plus-part-year"),
    ],
)
def test_terms_that_contradict_themselves_are_refused(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        terms(**changed)


amounts = st.integers(0, 10**12)
days = st.dates(JAN, date(2023, 12, 31))
terms_of_any_kind = st.sampled_from(
    [
        terms(posted_every_months=months, day_count=count, balance=balance, first_day_counts=first)
        for months in (1, 3, 6, 12)
        for count in ("actual/365", "actual/360", "actual/actual", "30/360")
        for balance in ("daily", "monthly-minimum", "opening-plus-part-year")
        for first in (True, False)
    ]
)


@given(opening=amounts, moved=st.lists(st.tuples(days, amounts), max_size=5), how=terms_of_any_kind)
def test_more_rate_never_earns_less_and_no_rate_earns_nothing(
    opening: int, moved: list[tuple[date, int]], how: InterestTerms
) -> None:
    assert sum(earned(how, *moved, opening=opening, percent="0")) == 0
    low, high = (sum(earned(how, *moved, opening=opening, percent=one)) for one in ("3.5", "7.25"))
    assert 0 <= low <= high


@given(opening=amounts, moved=st.lists(st.tuples(days, amounts), max_size=5))
def test_the_monthly_minimum_never_earns_more_than_each_days_balance(
    opening: int, moved: list[tuple[date, int]]
) -> None:
    daily, minimum = (
        sum(earned(terms(balance=balance, rounding="down"), *moved, opening=opening))
        for balance in ("daily", "monthly-minimum")
    )
    assert minimum <= daily


# -- declared returns


def series(code: str, *points: tuple[date, date, str]) -> Series:
    return Series(code, "percent-a-year", tuple(SeriesPoint(a, b, Decimal(value), "test") for a, b, value in points))


DECLARED = series("declared", (date(2022, 1, 1), date(2023, 3, 1), "9"), (JAN, date(2024, 3, 1), "12"))
BANK = series("bank", (date(2020, 1, 1), date(2020, 1, 1), "4"), (JUL, JUL, "20"))
KES = Asset.currency("KES")


def figures(known_on: date | None = None) -> Figures:
    return Figures(KES, {"declared": DECLARED, "bank": BANK}, known_on)


def declared_rule(**changed: Any) -> InForce[DeclaredReturnRule]:
    given: dict[str, Any] = {
        "id": "return",
        "series": "declared",
        "interest": terms(day_count="30/360"),
        "until_declared": "nothing",
        "leavers_trued_up": True,
        "overpaid": "recovered",
        "credited": "year-end",
    }
    return InForce(DeclaredReturnRule(**COMMON, **{**given, **changed}), JAN)


def year(**changed: Any) -> YearAccount:
    given: dict[str, Any] = {"opening_minor": 100_000, "movements": (), "year_from": JAN, "year_until": NEXT}
    return YearAccount(**{**given, **changed})


BEFORE = date(2024, 2, 29)


@pytest.mark.parametrize(
    ("rule", "known_on", "basis", "interest"),
    [
        pytest.param({}, None, "declared", 12_000, id="a declared year earns its rate"),
        pytest.param({}, BEFORE, "nothing", 0, id="before the declaration nothing"),
        pytest.param({"until_declared": "last-declared"}, BEFORE, "last-declared", 9_000, id="or last year's rate"),
        pytest.param(
            {"until_declared": "provisional", "provisional": "bank"}, BEFORE, "provisional", 12_000, id="or provisional"
        ),
        pytest.param({"until_declared": "floor", "floors": ("bank",)}, BEFORE, "floor", 12_000, id="or the floor"),
        pytest.param({"least_percent": "12.01"}, None, "floor", 12_010, id="a constant floor above the rate decides"),
        pytest.param({"least_percent": "12"}, None, "declared", 12_000, id="a floor as high as the rate does not"),
        pytest.param({"least_percent": "11.99"}, None, "declared", 12_000, id="nor one below it"),
    ],
)
def test_what_a_year_earns(rule: dict[str, Any], known_on: date | None, basis: str, interest: int) -> None:
    credit = credit_year(declared_rule(**rule), year(), figures(known_on))
    assert (credit.basis, credit.interest_minor) == (basis, interest)
    assert credit.is_final is (known_on is None)
    assert credit.rules == ("return@2023-01-01",)


def test_an_exit_before_the_declaration_may_be_refused() -> None:
    with pytest.raises(ReturnNotDeclared):
        credit_year(declared_rule(until_declared="refused"), year(left_on=JUL), figures(BEFORE))


@pytest.mark.parametrize(
    ("changed", "account", "adjustment"),
    [
        pytest.param({}, {"credited_minor": 13_000}, -1_000, id="too much is recovered"),
        pytest.param({"overpaid": "left"}, {"credited_minor": 13_000}, 0, id="or left with the member"),
        pytest.param({}, {"credited_minor": 4_000, "left_on": JUL}, 2_000, id="a leaver is trued up"),
        pytest.param(
            {"leavers_trued_up": False},
            {"credited_minor": 4_000, "left_on": JUL},
            0,
            id="or leaves with what was known",
        ),
    ],
)
def test_the_true_up(changed: dict[str, Any], account: dict[str, Any], adjustment: int) -> None:
    assert credit_year(declared_rule(**changed), year(**account), figures()).adjustment_minor == adjustment


@pytest.mark.parametrize(
    ("credited", "days_of"),
    [
        ("posting-day", [(JUL, 6_000), (NEXT, 6_360)]),
        ("year-end", [(NEXT, 12_360)]),
        ("declaration", [(date(2024, 3, 1), 12_360)]),
    ],
)
def test_the_day_of_credit(credited: str, days_of: list[tuple[date, int]]) -> None:
    rule = declared_rule(credited=credited, interest=terms(day_count="30/360", posted_every_months=6))
    assert list(credit_year(rule, year(), figures()).credited_on) == days_of


# -- guarantees


def guarantee(**changed: Any) -> InForce[GuaranteeRule]:
    given: dict[str, Any] = {
        "id": "least",
        "occasions": ("exit",),
        "at_least": "contributions",
        "tops_up": "state",
        "excess": "member",
    }
    return InForce(GuaranteeRule(**COMMON, **{**given, **changed}), JAN)


@given(fund=amounts, least=amounts, excess=st.sampled_from(["member", "guarantor"]))
def test_a_guarantee_pays_at_least_what_it_says_and_loses_nothing(fund: int, least: int, excess: str) -> None:
    found = apply_guarantee(guarantee(excess=excess), fund, least)
    assert found.paid_minor == found.from_fund_minor + found.top_up_minor >= least
    assert found.from_fund_minor + found.to_guarantor_minor == fund
    assert found.paid_minor == (max(fund, least) if excess == "member" else least)


def test_what_is_guaranteed_is_said_once() -> None:
    with pytest.raises(ValueError, match="needs column and table"):
        guarantee(at_least="table", table="corpus")
    with pytest.raises(ValueError, match="needs benchmark"):
        guarantee(at_least="contributions-with-interest")


def test_a_benchmark_follows_its_rate_over_the_years() -> None:
    # 1,000.00 at 4 % from 1 July 2022 to 1 July 2023, then at 20 % to 1 January 2024, months of 30 days.
    benchmark = Benchmark(series="bank", interest=terms(day_count="30/360"))
    paid = (Movement(date(2022, 7, 1), 100_000),)
    assert benchmark_interest(benchmark, paid, NEXT, figures()) == 4_000 + 10_400
    assert benchmark_interest(benchmark, (), NEXT, figures()) == 0


# -- the way into a fund


def investing(invested_from: Any) -> InForce[InvestingRule]:
    return InForce(
        InvestingRule(**COMMON, id="investing", invested_from=invested_from, reversal_difference_to="scheme"), JAN
    )


def test_only_reconciled_money_is_ordered_where_the_scheme_says_so() -> None:
    assert next_state("reconciled", "ordered", investing("reconciled")) == "ordered"
    with pytest.raises(WrongMoneyState):
        next_state("matched", "ordered", investing("reconciled"))
    assert next_state("received", "ordered", investing("received")) == "ordered"


def test_money_never_goes_back_nor_leaves_a_state_out() -> None:
    for state, to in (
        ("matched", "received"),
        ("received", "reconciled"),
        ("priced", "ordered"),
        ("ordered", "ordered"),
    ):
        with pytest.raises(WrongMoneyState):
            next_state(state, to, investing("received"))  # type: ignore[arg-type]


PRICED = [date(2023, 6, day) for day in (14, 15, 19, 20)]


@pytest.mark.parametrize(
    ("pricing", "lag", "day", "expected"),
    [
        ("forward", 0, 15, 15),
        ("forward", 0, 16, 19),
        ("forward", 1, 15, 19),
        ("historic", 0, 15, 14),
        ("historic", 1, 19, 14),
        ("forward", 0, 21, None),
        ("historic", 0, 14, None),
    ],
)
def test_the_day_whose_price_counts(pricing: Any, lag: int, day: int, expected: int | None) -> None:
    rule = UnitPricingRule(**COMMON, id="p", pricing=pricing, lag=lag, bought="down", sold="up")
    assert pricing_day(date(2023, 6, day), PRICED, rule) == (expected and date(2023, 6, expected))


@given(minor=amounts, digits=st.integers(1, 10**8), scale=st.integers(0, 6), money=st.sampled_from([0, 2, 3]))
def test_units_sold_raise_at_least_what_units_bought_cost(minor: int, digits: int, scale: int, money: int) -> None:
    price = Price(digits, scale)
    bought, sold = (
        units_of(minor, price=price, money_scale=money, unit_scale=4, rounding=one) for one in ("down", "up")
    )
    exact = Fraction(minor, 10**money) / Fraction(price.decimal())
    assert Fraction(bought, 10**4) <= exact <= Fraction(sold, 10**4)
    assert 0 <= sold - bought <= 1


# -- life paths


def path(between: Any = "linear", age: Any = "last-birthday") -> InForce[LifePathRule]:
    steps = (
        PathStep(from_age=20, shares={"GROWTH": 10_000}),
        PathStep(from_age=50, shares={"GROWTH": 3_333, "BONDS": 6_667}),
    )
    rule = LifePathRule(
        **COMMON, id="path", steps=steps, between=between, age=age, leap_day="1-march", moves="all", before_group=True
    )
    return InForce(rule, JAN)


def test_a_path_waits_for_its_first_age_and_keeps_its_last_shares() -> None:
    with pytest.raises(NoFundChoice):
        path_shares(path(), date(2003, 1, 2), JAN, JAN)
    assert path_shares(path(), date(1940, 1, 1), JAN, JAN).shares == {"GROWTH": 3_333, "BONDS": 6_667}
    assert path_shares(path("step"), date(1980, 1, 1), JAN, JAN).shares == {"GROWTH": 10_000}


def test_the_age_that_counts_is_the_rules_choice() -> None:
    born, on = date(1980, 8, 1), date(2023, 7, 15)
    ages = [path_shares(path(age=one), born, on, JAN).age for one in ("last-birthday", "nearest-birthday")]
    assert ages == [42, 43]
    assert path_shares(path(age="scheme-year-start"), date(1980, 3, 1), on, JAN).age == 42


@given(born_on=st.dates(date(1930, 1, 1), date(2002, 12, 31)))
def test_shares_of_a_path_are_always_whole(born_on: date) -> None:
    assert sum(path_shares(path(), born_on, JAN, JAN).shares.values()) == 10_000


def test_a_path_or_the_groups_own_choice_comes_first() -> None:
    choice = InForce(FundChoiceRule(**COMMON, id="choice", by_group={"teachers": {"BONDS": 10_000}}), JAN)
    after = path()
    after = InForce(msgspec.structs.replace(after.rule, before_group=False), JAN)
    born = date(1980, 1, 1)

    def shares(first: InForce[LifePathRule] | None, group: str) -> Mapping[str, int]:
        return member_shares(first, choice, group=group, born_on=born, on=JAN, scheme_year_from=JAN).shares

    assert shares(after, "teachers") == {"BONDS": 10_000}
    assert shares(path(), "teachers") == shares(after, "") == path_shares(path(), born, JAN, JAN).shares
    assert shares(None, "teachers") == {"BONDS": 10_000}
    with pytest.raises(NoFundChoice):
        shares(None, "")


def test_what_a_reversal_undoes_depends_on_where_the_money_is() -> None:
    found = [on_reversal(state, investing("reconciled")) for state in ("reconciled", "ordered", "priced")]
    assert [one.action for one in found] == ["drop-allocation", "await-price", "redeem-units"]
    assert [one.difference_to for one in found] == ["", "scheme", "scheme"]


def test_a_path_in_disorder_is_refused() -> None:
    steps = (PathStep(from_age=50, shares={"AAAA": 10_000}), PathStep(from_age=20, shares={"AAAA": 10_000}))
    with pytest.raises(ValueError, match="order of their ages"):
        LifePathRule(
            **COMMON, id="p", steps=steps, between="step", age="last-birthday", leap_day="1-march", moves="all",
            before_group=False,
        )  # fmt: skip
