"""Annuities against published tables, a library, a hand calculation, and what must always hold."""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import pyxirr
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.benefits.rules.annuities import (
    ROOT_DECIMALS,
    Basis,
    Certain,
    Joint,
    Life,
    MortalityTable,
    PaymentTerms,
    Rate,
    Rounding,
    Timing,
    accumulated,
    discounted,
    instalments,
    payment,
    present_value,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "projections"
AS_GOOD_AS_EQUAL = Fraction(1, 10**29)
"""The hand calculation shows thirty decimals."""

RATES = st.fractions(0, Fraction(1, 5), max_denominator=400)
TIMINGS = st.sampled_from(["advance", "arrears"])
PER_YEAR = st.sampled_from([1, 2, 4, 12])


def rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def by_hand() -> dict[str, Any]:
    return dict(json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8")))


@cache
def standard() -> MortalityTable:
    q = tuple(Fraction(row["q"]) for row in rows("standard_ultimate_q.csv"))
    return MortalityTable("Standard Ultimate", "Dickson, Hardy and Waters", 20, q)


@cache
def carlisle() -> MortalityTable:
    lives = [int(row["living"]) for row in rows("carlisle_lives.csv")]
    return MortalityTable.of_lives("Carlisle", "Milne, 1815", 50, lives)


def life(age: int, **more: Any) -> Life:
    return Life(table=standard(), age=age, **more)


def yearly(rate: str, timing: Timing = "advance") -> PaymentTerms:
    return PaymentTerms(rate=Rate.effective(rate), per_year=1, timing=timing)


def when(advance: str) -> Timing:
    return "advance" if advance == "True" else "arrears"


# Rounding and rates


@pytest.mark.parametrize(
    ("mode", "step", "figure", "expected"),
    [
        pytest.param("down", 1, "2.99", "2", id="down to a whole unit"),
        pytest.param("down", 1, "-2.01", "-3", id="down is towards less of a loss too"),
        pytest.param("up", 1, "2.01", "3", id="up to a whole unit"),
        pytest.param("up", 1, "2", "2", id="what is whole stays"),
        pytest.param("half-up", 1, "2.5", "3", id="a tie up"),
        pytest.param("half-up", 1, "2.49", "2", id="less than a tie down"),
        pytest.param("half-even", 1, "2.5", "2", id="a tie to the even one below"),
        pytest.param("half-even", 1, "3.5", "4", id="a tie to the even one above"),
        pytest.param("down", 1000, "197706", "197000", id="to thousands"),
        pytest.param("half-up", "0.0001", "14.90405", "14.9041", id="to four decimals"),
    ],
)
def test_rounding(
    mode: Literal["down", "up", "half-up", "half-even"], step: int | str, figure: str, expected: str
) -> None:
    assert Rounding(mode, Fraction(step)).apply(Fraction(figure)) == Fraction(expected)


def test_money_is_rounded_to_whole_units_only() -> None:
    assert Rounding("down", Fraction(5)).money(Fraction("12.9")) == 10
    with pytest.raises(AssertionError):
        Rounding("down", Fraction(1, 2)).money(Fraction(1))
    with pytest.raises(ValueError, match="more than zero"):
        Rounding("down", Fraction(0))


def test_a_nominal_rate_is_divided_by_its_compounding() -> None:
    assert Rate.nominal("0.12", 12).growth(Fraction(1, 12)) == Fraction("1.01")
    assert Rate.nominal("0.12", 12).growth() == Fraction("1.01") ** 12
    assert Rate.nominal("0.12", 4).growth(Fraction(1, 2)) == Fraction("1.03") ** 2


def test_an_effective_rate_is_spread_by_its_root() -> None:
    month = Rate.effective("0.08").growth(Fraction(1, 12))
    assert 0 <= Fraction("1.08") - month**12 < Fraction(1, 10 ** (ROOT_DECIMALS - 2))
    assert 1 / month.denominator >= 10**-ROOT_DECIMALS


@settings(deadline=None)
@given(root=st.fractions(Fraction(9, 10), Fraction(6, 5), max_denominator=10**6), parts=st.sampled_from([2, 4, 12, 52]))
def test_a_rational_root_is_exact(root: Fraction, parts: int) -> None:
    assert Rate(root**parts - 1).growth(Fraction(1, parts)) == root


def test_a_real_rate_goes_on_top_of_inflation() -> None:
    """1.03 × 1.05 = 1.0815."""
    assert Rate.effective("0.03").above(Rate.effective("0.05")) == Rate.effective("0.0815")


@pytest.mark.parametrize(("per_year", "compounding"), [("-1", 1), ("-12", 12), ("0.1", 0)])
def test_refuses_a_rate_that_cannot_be(per_year: str, compounding: int) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(Fraction(per_year), compounding)


# Annuities-certain


@pytest.mark.parametrize("case", by_hand()["certain"], ids=" ".join)
def test_certain_as_payments_added_one_by_one(case: list[str]) -> None:
    years, per_year, rate, rise, advance, expected = case
    terms = PaymentTerms(
        rate=Rate.effective(rate), per_year=int(per_year), timing=when(advance), indexation=Fraction(rise)
    )
    assert abs(present_value(Certain(int(years)), terms) - Fraction(expected)) < AS_GOOD_AS_EQUAL


@settings(deadline=None)
@given(rate=RATES.filter(bool), count=st.integers(1, 480), timing=TIMINGS)
def test_certain_as_pyxirr_has_it(rate: Fraction, count: int, timing: Timing) -> None:
    growth, early = Rate(rate, 12).growth(Fraction(1, 12)), timing == "advance"
    month = float(rate / 12)
    now, later = (
        pyxirr.pv(month, count, -1, 0, pmt_at_beginning=early),
        pyxirr.fv(month, count, -1, 0, pmt_at_beginning=early),
    )
    level = pyxirr.pmt(month, count, -1000, pmt_at_beginning=early)
    assert float(discounted(count, growth, timing)) == pytest.approx(now, rel=1e-9)
    assert float(accumulated(count, growth, timing)) == pytest.approx(later, rel=1e-9)
    assert float(1000 / discounted(count, growth, timing)) == pytest.approx(level, rel=1e-9)


@settings(deadline=None)
@given(growth=st.fractions(1, Fraction(6, 5), max_denominator=400), count=st.integers(0, 60), timing=TIMINGS)
def test_what_payments_come_to_is_their_worth_with_interest(growth: Fraction, count: int, timing: Timing) -> None:
    assert accumulated(count, growth, timing) == discounted(count, growth, timing) * growth**count


@settings(deadline=None)
@given(rate=RATES, years=st.integers(0, 30), per_year=PER_YEAR)
def test_payments_in_advance_are_worth_a_period_more(rate: Fraction, years: int, per_year: int) -> None:
    early = PaymentTerms(rate=Rate(rate, per_year), per_year=per_year, timing="advance")
    late = replace(early, timing="arrears")
    growth = early.rate.growth(Fraction(1, per_year))
    assert present_value(Certain(years), early) == present_value(Certain(years), late) * growth


# Annuities for life


@pytest.mark.parametrize("case", by_hand()["life"], ids=" ".join)
def test_for_life_as_deaths_gone_through(case: list[str]) -> None:
    age, per_year, rate, rise, advance, guaranteed, expected = case
    terms = PaymentTerms(
        rate=Rate.effective(rate), per_year=int(per_year), timing=when(advance), indexation=Fraction(rise)
    )
    found = present_value(life(int(age), guaranteed_years=int(guaranteed)), terms)
    assert abs(found - Fraction(expected)) < AS_GOOD_AS_EQUAL


@pytest.mark.parametrize("row", rows("standard_ultimate.csv"), ids=lambda row: f"age {row['age']}")
def test_the_standard_ultimate_table_to_four_decimals(row: dict[str, str]) -> None:
    age, four = int(row["age"]), Rounding("half-up", Fraction("0.0001"))
    monthly = PaymentTerms(rate=Rate.effective("0.05"), timing="advance")
    found = {
        "whole_life": present_value(life(age), yearly("0.05")),
        "ten_years": present_value(life(age, years=10), yearly("0.05")),
        "twenty_years": present_value(life(age, years=20), yearly("0.05")),
        "whole_life_monthly_udd": present_value(life(age), monthly),
        "whole_life_monthly_woolhouse": present_value(life(age), replace(monthly, within_year="woolhouse")),
    }
    assert {name: four.apply(figure) for name, figure in found.items()} == {name: Fraction(row[name]) for name in found}


@settings(deadline=None)
@given(age=st.integers(20, 100), per_year=PER_YEAR, rate=RATES.filter(bool))
def test_uniform_deaths_are_alpha_and_beta(age: int, per_year: int, rate: Fraction) -> None:
    """ä⁽ᵐ⁾ = α(m) ä - β(m), α = i d ÷ (i⁽ᵐ⁾ d⁽ᵐ⁾), β = (i - i⁽ᵐ⁾) ÷ (i⁽ᵐ⁾ d⁽ᵐ⁾) (Bowers, 5.4.6)."""
    terms = PaymentTerms(rate=Rate(rate, per_year), per_year=per_year, timing="advance")
    growth = terms.rate.growth()
    i, d = growth - 1, 1 - 1 / growth
    i_m, d_m = rate, rate / (1 + rate / per_year)
    once = present_value(life(age), replace(terms, per_year=1))
    assert present_value(life(age), terms) == i * d / (i_m * d_m) * once - (i - i_m) / (i_m * d_m)


@settings(deadline=None)
@given(age=st.integers(20, 100), per_year=PER_YEAR, rate=RATES)
def test_woolhouse_takes_half_of_what_lies_between(age: int, per_year: int, rate: Fraction) -> None:
    """ä⁽ᵐ⁾ = ä - (m - 1) ÷ 2m, a⁽ᵐ⁾ = a + (m - 1) ÷ 2m (Dickson, 5.11.2)."""
    early = PaymentTerms(rate=Rate(rate), per_year=per_year, timing="advance", within_year="woolhouse")
    late, between = replace(early, timing="arrears"), Fraction(per_year - 1, 2 * per_year)
    for terms, sign in ((early, -1), (late, 1)):
        once = present_value(life(age), replace(terms, per_year=1))
        assert present_value(life(age), terms) == once + sign * between


@settings(deadline=None)
@given(age=st.integers(20, 130), guaranteed=st.integers(0, 40), per_year=PER_YEAR, rate=RATES, rise=RATES)
def test_a_guarantee_is_a_term_certain_and_a_life_after_it(
    age: int, guaranteed: int, per_year: int, rate: Fraction, rise: Fraction
) -> None:
    terms = PaymentTerms(rate=Rate(rate), per_year=per_year, indexation=rise)
    whole, first = present_value(life(age), terms), present_value(life(age, years=guaranteed), terms)
    certain = present_value(Certain(guaranteed), terms)
    assert present_value(life(age, guaranteed_years=guaranteed), terms) == certain + whole - first


@settings(deadline=None)
@given(years=st.integers(1, 40), rate=RATES)
def test_who_cannot_die_before_a_year_is_paid_for_certain(years: int, rate: Fraction) -> None:
    """q = 0 for all years but the last one: the payments at the start of each of them are certain."""
    table = MortalityTable("Nobody dies", "invented", 60, (*[Fraction(0)] * (years - 1), Fraction(1)))
    terms = PaymentTerms(rate=Rate(rate), per_year=1, timing="advance")
    assert present_value(Life(table=table, age=60), terms) == present_value(Certain(years), terms)


# Annuities for two lives


@pytest.mark.parametrize("case", by_hand()["joint"], ids=" ".join)
def test_for_two_as_pairs_of_deaths_gone_through(case: list[str]) -> None:
    first, second, rate, advance, to_first, to_second, expected = case
    basis = Joint(
        first=life(int(first)),
        second=life(int(second)),
        to_first_bp=int(Fraction(to_first) * 10_000),
        to_second_bp=int(Fraction(to_second) * 10_000),
    )
    assert abs(present_value(basis, yearly(rate, when(advance))) - Fraction(expected)) < AS_GOOD_AS_EQUAL


def pair(older: str, younger: str) -> Joint:
    first, second = (Life(table=carlisle(), age=int(age)) for age in (older, younger))
    return Joint(first=first, second=second, to_first_bp=0, to_second_bp=0)


@pytest.mark.parametrize("row", rows("carlisle_joint.csv"), ids=lambda row: " ".join(row.values()))
def test_the_printed_values_of_1_while_two_carlisle_lives_last(row: dict[str, str]) -> None:
    found = present_value(pair(row["older"], row["younger"]), yearly(row["rate"], "arrears"))
    assert Rounding("half-up", Fraction("0.001")).apply(found) == Fraction(row["value"])


@pytest.mark.parametrize(
    "row", rows("carlisle_expectations.csv"), ids=lambda row: f"{row['younger']} and {row['older']}"
)
def test_the_printed_expectation_of_two_carlisle_lives(row: dict[str, str]) -> None:
    """Without interest a joint annuity in arrears is the curtate expectation: the quotient of two printed whole numbers."""
    expected = Fraction(int(row["sum_at_higher_ages"]), int(row["living_together"]))
    assert present_value(pair(row["older"], row["younger"]), yearly("0", "arrears")) == expected


@settings(deadline=None, max_examples=30)
@given(ages=st.tuples(st.integers(20, 110), st.integers(20, 110)), per_year=PER_YEAR, rate=RATES, timing=TIMINGS)
def test_the_last_to_live_has_what_both_have_less_what_they_share(
    ages: tuple[int, int], per_year: int, rate: Fraction, timing: Timing
) -> None:
    terms = PaymentTerms(rate=Rate(rate), per_year=per_year, timing=timing)
    first, second = map(life, ages)
    until_last = present_value(Joint(first=first, second=second), terms)
    until_first = present_value(Joint(first=first, second=second, to_first_bp=0, to_second_bp=0), terms)
    alone: list[Basis] = [first, second]
    assert until_last + until_first == sum(present_value(one, terms) for one in alone)


# What a balance buys


def test_ejoheza_pays_a_quarter_at_once_and_the_rest_over_twenty_years() -> None:
    """Ministerial Order 1-TC18 of 2018. That what is unpaid earns nothing above indexation is assumed: the order is silent."""
    balance = 4_000_000
    rest = balance - balance * 2500 // 10_000
    terms = PaymentTerms(rate=Rate.effective("0"))

    paid = instalments(rest, 20, terms, Rounding("down"))

    assert rest == 3_000_000
    assert payment(rest, Certain(20), terms) == 12_500
    assert paid == (12_500,) * 240


@settings(deadline=None)
@given(balance=st.integers(0, 10**12), years=st.integers(1, 30), per_year=PER_YEAR, timing=TIMINGS,
       rise=st.sampled_from([Fraction(0), Fraction(1, 20)]),
       mode=st.sampled_from(["down", "up", "half-up", "half-even"]))  # fmt: skip
def test_instalments_without_return_pay_out_the_balance(
    balance: int, years: int, per_year: int, timing: Timing, rise: Fraction,
    mode: Literal["down", "up", "half-up", "half-even"],
) -> None:  # fmt: skip
    terms = PaymentTerms(rate=Rate.effective("0"), per_year=per_year, timing=timing, indexation=rise)
    paid = instalments(balance, years, terms, Rounding(mode))
    assert sum(paid) == balance
    assert len(paid) == years * per_year
    assert min(paid) >= 0


@settings(deadline=None)
@given(balance=st.integers(10**4, 10**9), years=st.integers(1, 20), rate=RATES, timing=TIMINGS)
def test_instalments_are_worth_the_balance(balance: int, years: int, rate: Fraction, timing: Timing) -> None:
    """Less than one unit, at the end, is never paid."""
    terms = PaymentTerms(rate=Rate(rate, 12), timing=timing)
    paid, v = instalments(balance, years, terms, Rounding("down")), 1 / terms.rate.growth(Fraction(1, 12))
    worth = sum(amount * v ** (at + (timing == "arrears")) for at, amount in enumerate(paid))
    assert 0 <= balance - worth < 1
    assert set(paid[:-1]) <= {int(payment(balance, Certain(years), terms))}


def test_instalments_rise_each_anniversary() -> None:
    """1,050 over two years, rising 10 %: 500 and 550; half a year each."""
    terms = PaymentTerms(rate=Rate.effective("0"), per_year=2, indexation=Fraction("0.1"))
    assert instalments(1_050, 2, terms, Rounding("down")) == (250, 250, 275, 275)


# Bad input


def test_refuses_a_table_in_which_somebody_lives_for_ever() -> None:
    with pytest.raises(ValueError, match="at the last age death must be certain"):
        MortalityTable("Endless", "invented", 60, (Fraction(1, 2),))
    with pytest.raises(ValueError, match="at the last age death must be certain"):
        MortalityTable("Empty", "invented", 60, ())


def test_refuses_a_chance_beyond_certainty() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        MortalityTable("Risen", "invented", 60, (Fraction(-1, 2), Fraction(1)))


@pytest.mark.parametrize("age", [19, 131])
def test_refuses_an_age_the_table_does_not_know(age: int) -> None:
    with pytest.raises(ValueError, match="Standard Ultimate knows ages 20 to 130, not"):
        present_value(life(age), yearly("0.05"))


def test_refuses_a_guarantee_of_one_of_two_lives() -> None:
    with pytest.raises(ValueError, match="belongs to the joint annuity"):
        Joint(first=life(60, guaranteed_years=5), second=life(60))


@pytest.mark.parametrize(
    "changes", [{"per_year": 0}, {"indexation": Fraction(-1)}], ids=["never paid", "worth nothing"]
)
def test_refuses_terms_that_pay_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="paid at least once a year"):
        PaymentTerms(rate=Rate.effective("0"), **changes)


def test_refuses_to_buy_what_is_never_paid() -> None:
    with pytest.raises(ValueError, match="no payment is ever made"):
        payment(1, Certain(0), yearly("0"))


def test_a_guarantee_of_two_lives_is_certain_for_both() -> None:
    """Twenty years certain cost more than two lives of 80 and 85 alone, and less than both one after the other."""
    plain = Joint(first=life(80), second=life(85))
    sure, terms = replace(plain, guaranteed_years=20), yearly("0.05")
    assert present_value(plain, terms) < present_value(sure, terms)
    twenty = present_value(replace(plain, first=life(80, years=20), second=life(85, years=20)), terms)
    certain = present_value(Certain(20), terms)
    assert present_value(sure, terms) == certain + present_value(plain, terms) - twenty
