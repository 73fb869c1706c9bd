"""Projections: closed form against month by month, against a hand calculation, and what a member is shown."""

import json
from dataclasses import fields, is_dataclass, replace
from datetime import date
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.benefits.rules.annuities import Certain, PaymentTerms, Rate, Rounding, Timing
from engine.benefits.rules.projection import (
    Annuity,
    Assumption,
    Assumptions,
    Growth,
    Illustration,
    Outlook,
    SavingPlan,
    paid_in,
    pot_after,
    project,
    promised_income,
    simulate,
)
from engine.kernel.months import months_after

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "projections"
START = date(2026, 1, 1)
DOWN = Rounding("down")
TO_THOUSANDS = Rounding("half-up", Fraction(1000))

FREQUENCIES = st.sampled_from([365, 52, 12, 4, 2, 1])
TIMINGS = st.sampled_from(["advance", "arrears"])
MONEY = st.integers(0, 10**7)


def stated(value: Any) -> Assumption[Any]:
    return Assumption(value, "invented", "low", "for a test")


def plan(months: int, paying: int | None = None, **more: Any) -> SavingPlan:
    terms: dict[str, Any] = {"balance": 0, "contribution": 0, "times_a_year": 12, "timing": "arrears"}
    return SavingPlan(
        starts_on=START,
        contributions_until=months_after(START, months if paying is None else paying),
        benefit_on=months_after(START, months),
        **(terms | more),
    )


def assumptions(*rates: Rate, real: bool = False, **more: Any) -> Assumptions:
    cautious, expected, favourable = rates if len(rates) == 3 else rates * 3
    terms: dict[str, Any] = {
        "inflation": stated(Rate.effective("0.05")),
        "charges_bp": stated(0),
        "contribution_growth": stated(Fraction(0)),
        "annuity": stated(Annuity(Certain(20), PaymentTerms(rate=Rate.effective("0")))),
    }
    return Assumptions(
        outlooks=(
            Outlook("cautious", stated(cautious), real),
            Outlook("expected", stated(expected), real),
            Outlook("favourable", stated(favourable), real),
        ),
        **(terms | more),
    )


@st.composite
def plans(draw: st.DrawFn) -> SavingPlan:
    months = draw(st.integers(0, 150))
    return plan(
        months,
        draw(st.integers(0, months)),
        balance=draw(MONEY),
        contribution=draw(MONEY),
        times_a_year=draw(FREQUENCIES),
        timing=draw(TIMINGS),
        match=tuple(draw(st.lists(MONEY, max_size=-(-months // 12)))),
        lump_bp=draw(st.integers(0, 10_000)),
    )


RATIONAL_GROWTH = st.one_of(
    st.builds(Rate, st.fractions(Fraction(-1, 10), Fraction(1, 4), max_denominator=200), st.just(12)),
    st.builds(lambda month: Rate(month**12 - 1), st.fractions(1, Fraction(51, 50), max_denominator=200)),
)
"""Rates whose growth over a month is rational: nominal ones by the month, effective ones that are a twelfth power."""


# Closed form and simulation


@settings(deadline=None)
@given(
    saving=plans(),
    rate=RATIONAL_GROWTH,
    charges=st.integers(0, 300),
    rise=st.fractions(0, Fraction(1, 10), max_denominator=100),
)
def test_closed_form_and_simulation_agree_to_the_last_digit(
    saving: SavingPlan, rate: Rate, charges: int, rise: Fraction
) -> None:
    """Nothing is rounded on the way in either: they are the same fraction, at every month's end."""
    growth = Growth.of(rate, charges_bp=charges)
    simulated = simulate(saving, growth, rise)
    assert [pot_after(saving, growth, rise, at) for at in range(saving.months + 1)] == simulated


@settings(deadline=None)
@given(saving=plans(), per_year=st.integers(0, 2500), charges=st.integers(0, 300))
def test_where_a_root_is_cut_they_agree_to_thirty_digits(saving: SavingPlan, per_year: int, charges: int) -> None:
    growth = Growth.of(Rate(Fraction(per_year, 10_000)), charges_bp=charges)
    closed, simulated = (
        pot_after(saving, growth, Fraction(1, 50), saving.months),
        simulate(saving, growth, Fraction(1, 50)),
    )
    assert abs(closed - simulated[-1]) <= closed / 10**30


@settings(deadline=None)
@given(saving=plans())
def test_contributions_that_grow_as_the_pot_does(saving: SavingPlan) -> None:
    """Y = H, where the geometric series has no quotient."""
    growth = Growth.of(Rate.nominal("0.06", 12))
    rise = growth.year - 1
    assert pot_after(saving, growth, rise, saving.months) == simulate(saving, growth, rise)[-1]


@settings(deadline=None)
@given(saving=plans(), rise=st.fractions(0, Fraction(1, 10), max_denominator=100))
def test_without_return_the_pot_is_what_was_paid_in(saving: SavingPlan, rise: Fraction) -> None:
    growth = Growth.of(Rate.effective("0"))
    for at in (0, saving.months // 2, saving.months):
        added = sum(amount for added_at, amount in saving.match_months() if added_at <= at)
        assert pot_after(saving, growth, rise, at) == saving.balance + paid_in(saving, rise, at) + added


# The hand calculation


@cache
def by_hand() -> dict[str, list[str]]:
    return dict(json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8"))["plans"])


@pytest.mark.parametrize(
    ("name", "saving", "rate", "charges", "rise"),
    [
        pytest.param("monthly in arrears at 8 % nominal", plan(120, contribution=10_000),
                     Rate.nominal("0.08", 12), 0, "0", id="monthly in arrears"),
        pytest.param("monthly in advance at 6 % effective, charged, rising and matched",
                     plan(487, 410, balance=12_345, contribution=1_000, timing="advance", match=(18_000,) * 3),
                     Rate.effective("0.06"), 75, "0.03", id="in advance, charged, rising and matched"),
        pytest.param("a year and a half at no return",
                     plan(18, balance=500, contribution=100, timing="advance", match=(50, 60)),
                     Rate.effective("0"), 0, "0.10", id="a year and a half"),
    ],
)  # fmt: skip
def test_pots_as_saved_month_by_month_by_hand(
    name: str, saving: SavingPlan, rate: Rate, charges: int, rise: str
) -> None:
    ends = [*range(12, saving.months, 12), saving.months]
    growth = Growth.of(rate, charges_bp=charges)
    found = [pot_after(saving, growth, Fraction(rise), at) for at in ends]
    expected = [Fraction(pot) for pot in by_hand()[name]]
    assert [abs(ours - theirs) < Fraction(1, 10**24) for ours, theirs in zip(found, expected, strict=True)] == [
        True
    ] * len(ends)


@pytest.mark.parametrize(
    ("times_a_year", "timing", "expected"),
    [
        pytest.param(365, "arrears", Fraction(365 * 100), id="daily"),
        pytest.param(52, "arrears", Fraction(52 * 100), id="weekly"),
        pytest.param(12, "advance", Fraction(12 * 100), id="monthly"),
        pytest.param(4, "advance", Fraction(4 * 100), id="quarterly"),
        pytest.param(2, "arrears", Fraction(2 * 100), id="half-yearly"),
        pytest.param(1, "advance", Fraction(100), id="yearly"),
    ],
)
def test_a_years_contributions(times_a_year: int, timing: Timing, expected: Fraction) -> None:
    saving = plan(12, contribution=100, times_a_year=times_a_year, timing=timing)
    assert paid_in(saving, Fraction(0), 12) == expected


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        pytest.param("advance", 2, id="at the start of each begun"),
        pytest.param("arrears", 1, id="at the end of each complete"),
    ],
)
def test_quarterly_payments_in_five_months(timing: Timing, expected: int) -> None:
    assert paid_in(plan(5, contribution=1, times_a_year=4, timing=timing), Fraction(0), 5) == expected


# What is shown


def only(
    saving: SavingPlan, assumed: Assumptions, rounding: Rounding = DOWN, credited: Rounding | None = None
) -> Illustration:
    first, second, third = project(saving, assumed, rounding=rounding, credited=credited).illustrations
    assert first.pot == second.pot == third.pot
    return first


def test_a_year_at_ten_per_cent_in_todays_money() -> None:
    """1,000 become 1,100; at 10 % inflation they buy what 1,000 do now; a quarter at once, the rest in 12 payments."""
    annuity = Annuity(Certain(1), PaymentTerms(rate=Rate.effective("0")))
    assumed = assumptions(Rate.effective("0.10"), inflation=stated(Rate.effective("0.10")), annuity=stated(annuity))
    shown = only(plan(12, balance=1_000, lump_bp=2_500), assumed)

    assert (shown.pot, shown.pot_today) == (1_100, 1_000)
    assert (shown.lump, shown.lump_today) == (275, 250)
    assert (shown.income, shown.income_today, shown.payments_a_year) == (68, 62, 12)
    assert [(row.on, row.pot, row.pot_today) for row in shown.rows] == [
        (START, 1_000, 1_000),
        (date(2027, 1, 1), 1_100, 1_000),
    ]


def test_rows_say_what_was_paid_in_and_added_year_by_year() -> None:
    saving = plan(30, 18, balance=5, contribution=100, times_a_year=1, timing="advance", match=(7, 8, 9))
    shown = only(saving, assumptions(Rate.effective("0"), contribution_growth=stated(Fraction("0.5"))))

    assert [(row.on, row.paid_in, row.matched, row.pot) for row in shown.rows] == [
        (date(2026, 1, 1), 0, 0, 5),
        (date(2027, 1, 1), 100, 7, 112),
        (date(2028, 1, 1), 250, 15, 270),
        (date(2028, 7, 1), 250, 24, 279),
    ]


def test_charges_are_taken_by_the_month() -> None:
    """12 % a year: 1 % of the pot at each month's end, after its return of 1 %."""
    assumed = assumptions(Rate.nominal("0.12", 12), charges_bp=stated(1_200))
    assert only(plan(1, balance=1_000_000), assumed).pot == 999_900


@settings(deadline=None)
@given(real=st.fractions(0, Fraction(1, 10), max_denominator=100), balance=MONEY, years=st.integers(0, 40))
def test_a_real_return_is_what_the_pot_gains_in_todays_money(real: Fraction, balance: int, years: int) -> None:
    shown = only(plan(12 * years, balance=balance), assumptions(Rate(real), real=True))
    assert shown.pot_today == int(balance * (1 + real) ** years)


@settings(deadline=None)
@given(saving=plans(), rates=st.lists(st.integers(0, 2000), min_size=3, max_size=3))
def test_a_better_return_never_gives_less(saving: SavingPlan, rates: list[int]) -> None:
    assumed = assumptions(*[Rate(Fraction(rate, 10_000), 12) for rate in sorted(rates)])
    pots = [shown.pot for shown in project(saving, assumed, rounding=DOWN).illustrations]
    assert pots == sorted(pots)


def test_an_illustration_comes_with_all_it_assumes() -> None:
    assumed = assumptions(Rate.effective("0.03"), Rate.effective("0.06"), Rate.effective("0.09"))
    found = project(plan(12, balance=100), assumed, rounding=DOWN)

    assert found.assumptions == assumed
    assert [shown.outlook.name for shown in found.illustrations] == ["cautious", "expected", "favourable"]
    assert [shown.pot for shown in found.illustrations] == [103, 106, 109]


def floats_in(value: object) -> list[object]:
    if is_dataclass(value):
        return [one for field in fields(value) for one in floats_in(getattr(value, field.name))]
    if isinstance(value, tuple):
        return [one for part in value for one in floats_in(part)]
    return [value] if isinstance(value, float) else []


@settings(deadline=None)
@given(saving=plans(), credited=st.sampled_from([None, DOWN]))
def test_no_figure_is_ever_a_float(saving: SavingPlan, credited: Rounding | None) -> None:
    assert floats_in(project(saving, assumptions(Rate.effective("0.07")), rounding=DOWN, credited=credited)) == []


def test_returns_credited_in_whole_units() -> None:
    """1 % of 150 is 1.50: rounded down 1, 1, 1; unrounded 154.545…"""
    assumed, saving = assumptions(Rate.nominal("0.12", 12)), plan(3, balance=150)
    assert only(saving, assumed).pot == 154
    assert only(saving, assumed, credited=DOWN).pot == 153
    assert only(saving, assumed, credited=Rounding("up")).pot == 156


def test_a_plan_pays_nothing_at_once_unless_it_says_so() -> None:
    assert only(plan(0, balance=10_000), assumptions(Rate.effective("0"))).lump == 0


def test_a_promised_pension_in_todays_money() -> None:
    """Who joins Atal Pension Yojana at 18 for 5,000 a month: 5,000 ÷ 1.05^42 = 644.19…"""
    found = promised_income(5_000_00, 42 * 12, stated(Rate.effective("0.05")), DOWN)
    assert (found.amount, found.amount_today) == (5_000_00, 644_19)
    assert abs(Fraction(found.amount_today) * Fraction("1.05") ** 42 - found.amount) < Fraction("1.05") ** 42


# RSSB's illustration


RSSB = plan(360, contribution=10_000, timing="advance", lump_bp=2_500)
RSSB_ASSUMED = assumptions(
    Rate.nominal("0.12", 12),
    annuity=stated(Annuity(Certain(20), PaymentTerms(rate=Rate.nominal("0.12", 12), indexation=Fraction("0.06")))),
)


def test_rssbs_illustration_can_be_had_from_the_schemes_own_figures() -> None:
    """RWF 10,000 a month from 25 "gives" RWF 198,000 a month at 55 (RSSB, in The New Times, article 166580).

    RSSB does not say what it assumes, so this is our assumption and no claim of ours about theirs: the 12 % a year that
    the scheme reported in December 2022, credited by the month and earned on what is unpaid too; contributions at the
    start of each month and instalments at its end; no match and no charge; the order's 25 % at once, and its 240
    instalments, indexed at 6 % a year. The 6 %, and start and end, are found by trial: with whole per cents and no match
    they alone give 198,000 to the thousand from 12 %.
    """
    shown = only(RSSB, RSSB_ASSUMED)
    assert shown.income == 197_706
    assert only(RSSB, RSSB_ASSUMED, TO_THOUSANDS).income == 198_000


@pytest.mark.parametrize(
    ("saving", "rate"),
    [
        pytest.param(plan(360, contribution=10_000, timing="advance", match=(18_000,) * 3), Rate.nominal("0.095", 12),
                     id="9.5 % nominal, three years of match, no lump sum, level"),
        pytest.param(plan(360, contribution=10_000, timing="advance", match=(18_000,) * 3, lump_bp=2_500),
                     Rate.nominal("0.105", 12), id="10.5 % nominal, three years of match, a quarter at once, level"),
    ],
)  # fmt: skip
def test_rssbs_illustration_does_not_tell_what_it_assumes(saving: SavingPlan, rate: Rate) -> None:
    """Quite different assumptions give the same rounded figure, so none can be read from it."""
    annuity = Annuity(Certain(20), PaymentTerms(rate=rate))
    assert only(saving, assumptions(rate, annuity=stated(annuity)), TO_THOUSANDS).income == 198_000


# Bad input


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param(
            {"contributions_until": date(2025, 12, 31)}, "these dates", id="contributions end before they start"
        ),
        pytest.param(
            {"contributions_until": date(2027, 1, 2)}, "these dates", id="contributions after the benefit begins"
        ),
        pytest.param({"balance": -1}, "not negative", id="a negative balance"),
        pytest.param({"contribution": -1}, "not negative", id="a negative contribution"),
        pytest.param({"match": (-1,)}, "not negative", id="a negative match"),
        pytest.param({"lump_bp": 10_001}, "at most the whole pot", id="more than the pot at once"),
        pytest.param({"match": (1, 1)}, "more than the 12 months have years", id="a match for a year that never comes"),
    ],
)
def test_refuses_a_plan_that_cannot_be(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        replace(plan(12), **changes)


@pytest.mark.parametrize(("months", "years"), [(0, 1), (1, 2), (12, 2), (13, 3)])
def test_refuses_a_match_where_there_is_no_time_for_it(months: int, years: int) -> None:
    with pytest.raises(ValueError, match=f"more than the {months} months"):
        plan(months, match=(1,) * years)
    assert plan(months, match=(1,) * (years - 1)).match == (1,) * (years - 1)


@pytest.mark.parametrize("confidence", ["high", "medium", "low"])
def test_what_is_little_sure_is_said_in_words(confidence: Literal["high", "medium", "low"]) -> None:
    if confidence == "low":
        with pytest.raises(ValueError, match="says in words what is assumed"):
            Assumption(1, "nobody", confidence)
    else:
        assert Assumption(1, "the law", confidence).words == ""
